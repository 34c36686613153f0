"""Where pages are: file names that every file system takes, whatever the names of what they show."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_PLAIN = re.compile(r"[a-z0-9_]{1,64}")
_STEM = 40
# Names that the site has already, and those that Windows keeps for devices.
_KEPT = {"index", "con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}


def slug(name: str) -> str:
    """A file name without ending: the name where it is plain, else what is plain of it and a hash.

    Different names never give the same file, nor names that differ in case only: those with a hash have a hyphen, plain
    ones have none.
    """
    if _PLAIN.fullmatch(name) and name not in _KEPT:
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain)[:_STEM].strip("-")
    return f"{stem or 'x'}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def page_path(kind: str, name: str) -> str:
    """The page of a definition, owner or tag, from the root of the site."""
    return f"{kind}/{slug(name)}.html"


def whole_path(experiment: str) -> str:
    """The page with the whole readout of an experiment; no slug ends like it."""
    return f"experiments/{slug(experiment)}-readout.html"
