"""`metricdef report`: a readout's JSON document as a page, as Markdown, as text or as a picture."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from metricdef.analysis.document import read_document
from metricdef.cli.output import write_bytes, write_file
from metricdef.cli.run import rendered
from metricdef.errors import UsageError


def run(options: argparse.Namespace) -> int:
    """Read the document, print or write what was asked for."""
    source = Path(options.file)
    try:
        text = sys.stdin.read() if options.file == "-" else source.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{options.file} is not a text file") from None
    readout = read_document(text, options.file)
    if options.plot:
        from metricdef.reports.plot_file import plot_bytes

        write_bytes(Path(options.plot), plot_bytes(readout, Path(options.plot)))
        _wrote(options.plot, options)
        if not options.output:
            return 0
    if options.output:
        write_file(Path(options.output), rendered(readout, options))
        _wrote(options.output, options)
    elif options.format == "html" and sys.stdout.isatty():
        raise UsageError("a page is for a file", [f"metricdef report {options.file} -o {source.with_suffix('.html')}"])
    else:
        print(rendered(readout, options), end="")
    return 0


def _wrote(file: str, options: argparse.Namespace) -> None:
    if not options.quiet:
        print(f"wrote {file}", file=sys.stderr)
