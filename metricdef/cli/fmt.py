"""`metricdef fmt`: lay out the files of definitions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from metricdef.cli.output import use_color, write_file
from metricdef.definitions.files import definition_files, find_project, shown
from metricdef.definitions.layout import lay_out
from metricdef.errors import DefinitionErrors, Diagnostic, UsageError
from metricdef.reports.diagnostics import render_diagnostics


def run(options: argparse.Namespace) -> int:
    """Rewrite what is not laid out, or with --check only name it (1); files that can't be read stay as they are (2)."""
    found: list[Diagnostic] = []
    refused = False
    changed = []
    files = _files(options)
    for name, path in files.items():
        try:
            text = path.read_bytes().decode("utf-8")
            laid_out = lay_out(name, text)
        except UnicodeDecodeError:
            refused = True
            print(f"error: {name} is not UTF-8 text", file=sys.stderr)
            continue
        except DefinitionErrors as errors:
            found += errors.diagnostics
            continue
        except UsageError as error:
            refused = True
            print(f"error: {error.message}", file=sys.stderr)
            continue
        if laid_out != text:
            changed.append(name)
            if not options.check:
                write_file(path, laid_out)
    for name in changed:
        print(name)
    if found:
        print(render_diagnostics(found, len(files), color=use_color(sys.stderr, off=options.no_color)), file=sys.stderr)
    if not options.quiet:
        print(_summary(len(changed), len(files), check=options.check), file=sys.stderr)
    return 2 if found or refused else int(options.check and bool(changed))


def _files(options: argparse.Namespace) -> dict[str, Path]:
    if not options.files:
        return definition_files(find_project(Path(options.project or ".")))
    return {shown(path.parent, path): path for path in _existing(options.files)}


def _existing(names: Iterable[str]) -> Iterable[Path]:
    for name in names:
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"there is no file {name}", ["name files of definitions, or none for all of the project"])
        yield path


def _summary(changed: int, total: int, *, check: bool) -> str:
    files = f"{total} file{'' if total == 1 else 's'}"
    if not changed:
        return f"· {files} laid out already"
    return f"· {changed} of {files} {'would change' if check else 'laid out'}"
