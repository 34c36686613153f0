"""Profiles: how to reach a warehouse. Variables come from the environment; their values never reach a message."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metricdef.errors import UsageError, suggest

TYPES = ("duckdb", "snowflake", "postgres", "spark", "clickhouse")
# Options that say where data are and as which role they are read, and what an engine's client takes where they are left out.
_WHERE = ("account", "host", "port", "service", "connection_name", "remote", "master", "path", "tables")
_WITHIN = ("database", "catalog", "schema", "role")
_ENVIRONMENT = {
    "postgres": ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE"),
    "snowflake": ("SNOWFLAKE_DEFAULT_CONNECTION_NAME",),
}
_LOGIN = re.compile(r"(?<=//)[^/@]*@|;.*")  # inside an address
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Profile:
    """A resolved profile. `options` may hold secrets: never print them."""

    name: str
    type: str
    root: Path
    options: Mapping[str, Any]
    schemas: Mapping[str, str]
    written: Mapping[str, Any]  # the options as project.yml has them, variables by name

    def redact(self, text: str) -> str:
        """A message with what came from the environment replaced by its variable."""
        for key, value in self.options.items():
            written = str(self.written.get(key, ""))
            if "${" in written and str(value):
                text = text.replace(str(value), written)
        return text

    def place(self) -> dict[str, str]:
        """The name, and a hash of where the data are, which changes with it; nothing secret goes into the hash."""
        found = {key: _LOGIN.sub("", str(self.options[key])) for key in (*_WHERE, *_WITHIN) if key in self.options}
        found |= {key: os.environ[key] for key in _ENVIRONMENT.get(self.type, ()) if key in os.environ}
        text = json.dumps([self.type, found, dict(self.schemas)], sort_keys=True)
        return {"profile": self.name, "hash": hashlib.sha256(text.encode()).hexdigest()[:16]}

    def __repr__(self) -> str:
        """Without the options, which may hold secrets."""
        return f"Profile({self.name!r}, {self.type!r})"


def profile_type(
    name: str | None, profiles: Mapping[str, Mapping[str, Any]], default: str | None
) -> tuple[str, str, Mapping[str, str]]:
    """Name, type and schema map of a profile, without reading the environment."""
    chosen = name or default or next(iter(profiles), None)
    if chosen is None or chosen not in profiles:
        similar = suggest(str(chosen), profiles)
        raise UsageError(
            f"there is no profile `{chosen}`",
            [f"did you mean `{similar[0]}`?" if similar else f"profiles: {', '.join(profiles) or 'none'}"],
        )
    options = profiles[chosen]
    kind = options.get("type")
    if kind not in TYPES:
        raise UsageError(f"profile `{chosen}`: `{kind}` is not a type of warehouse", [f"types: {', '.join(TYPES)}"])
    schemas = options.get("schemas") or {}
    if not isinstance(schemas, dict):
        raise UsageError(f"profile `{chosen}`: `schemas` must be a map of logical to physical schema")
    return chosen, str(kind), {str(k): str(v) for k, v in schemas.items()}


def resolve_profile(
    name: str | None, profiles: Mapping[str, Mapping[str, Any]], default: str | None, root: Path
) -> Profile:
    """Fill in `${VAR}` and `${VAR:-default}`. Raises UsageError for an unknown profile or an unset variable."""
    chosen, kind, schemas = profile_type(name, profiles, default)
    filled = {
        key: _fill(value, chosen, key) for key, value in profiles[chosen].items() if key not in ("type", "schemas")
    }
    written = {key: value for key, value in profiles[chosen].items() if key in filled}
    return Profile(chosen, kind, root, filled, schemas, written)


def _fill(value: Any, profile: str, key: str) -> Any:
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        variable, default = match[1], match[2]
        found = os.environ.get(variable) or default
        if found is None:
            raise UsageError(
                f"profile `{profile}`: `{key}` needs the environment variable {variable}, which is not set",
                [f"export {variable}=... and run again"],
            )
        return found

    return _VARIABLE.sub(replace, value)
