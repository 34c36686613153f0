"""Parse arguments, run one verb, turn errors into messages and exit codes.

Nothing heavy is imported before a verb needs it: `--help` stays instant.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from io import TextIOWrapper
from types import FrameType
from typing import Any, NoReturn

from metricdef import __version__

_OVERVIEW = {
    "init": "start a project; --demo brings a finished experiment on real data",
    "check": "validate all definitions",
    "compile": "print or write the exact SQL that `run` executes",
    "test": "run the unit tests of metrics, on DuckDB in memory",
    "run": "compile, execute and analyse an experiment; prints the readout",
    "report": "a readout's JSON file as a page, as Markdown, as text or as a picture",
    "build": "write dated SQL files for a scheduler, which put moments into tables",
    "ingest": "the readout of moments that a job wrote",
    "lock": "freeze an experiment's protocol; later changes need an amendment",
    "schema": "print or write the JSON Schemas that editors complete and check definitions by",
    "fmt": "lay out definitions: keys in their order, comments kept",
    "explain": "what a rule finds, why it matters, and how to mend it; without RULE all rules",
    "plan": "what the definitions change against a commit, in which class, and the experiments that it reaches",
    "diff": "an experiment's numbers under the definitions of a commit and under those of now",
    "lineage": "what breaks if a column goes: metrics, segments and experiments that rest on it",
    "log": "locks, looks, amendments and decisions of experiments; --verify proves their record",
    "docs": "the catalogue of metrics and experiments as a static site; --serve keeps it up to date",
}
VERBS = tuple(_OVERVIEW)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 fine, 1 findings, 2 usage, 3 no connection."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode shows `?`, not a traceback
    parser = _parser()
    options = parser.parse_args(arguments)
    options.format = options.format or _formats(options.verb)[0]
    if options.format not in _formats(options.verb):
        parser.error(f"`{options.verb}` has no format {options.format}; it has {', '.join(_formats(options.verb))}")
    before = _stop_on_sigterm()
    try:
        code = _run(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 143 if _TERMINATED else 130
    except BrokenPipeError:
        # The reader went away (`| head`): silence the flush at exit too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence: a message instead of a traceback
        return _report(error, debug=options.debug)
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
    return code


_TERMINATED: list[int] = []  # the signal, once it came: DuckDB loses the exception's own type


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    """SIGTERM is like Ctrl-C, so that a query that runs is cancelled."""
    _TERMINATED.append(number)
    raise KeyboardInterrupt


def _stop_on_sigterm() -> Any:
    """The handler that was there; None where handlers cannot be set, as in a thread."""
    _TERMINATED.clear()
    try:
        return signal.signal(signal.SIGTERM, _terminate)
    except ValueError:
        return None


def _run(options: argparse.Namespace) -> int:
    verb: Callable[[argparse.Namespace], int] = import_module(f"metricdef.cli.{options.verb}").run
    code = verb(options)
    if sys.stdout is not None:
        sys.stdout.flush()
    return code


def _report(error: Exception, *, debug: bool) -> int:
    from metricdef.errors import DefinitionErrors, MetricdefError

    if debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, DefinitionErrors):
        from metricdef.cli.output import use_color
        from metricdef.reports.diagnostics import render_diagnostics

        files = len({d.place.file for d in error.diagnostics if d.place})
        print(render_diagnostics(error.diagnostics, files, color=use_color(sys.stderr)), file=sys.stderr)
        return error.exit_code
    if isinstance(error, MetricdefError):
        print(f"error: {error.message}", file=sys.stderr)
        for line in error.help:
            print(f"  = help: {line}", file=sys.stderr)
        return error.exit_code
    if isinstance(error, OSError):
        print(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", file=sys.stderr)
        return 2
    print(f"error: this is a fault of metricdef: {type(error).__name__}: {error}", file=sys.stderr)
    print("  = help: run again with --debug and report what it prints", file=sys.stderr)
    return 2


class _Parser(argparse.ArgumentParser):
    """argparse with did-you-mean for verbs."""

    def error(self, message: str) -> NoReturn:
        """Print the message, what to do, and exit with 2."""
        if "invalid choice" in message and "argument verb" in message:
            import difflib

            given = next((word for word in sys.argv[1:] if not word.startswith("-") and word not in VERBS), "")
            near = difflib.get_close_matches(given, VERBS, n=1)
            message = f"`{given}` is not a verb" + (
                f": did you mean `{near[0]}`?" if near else f"; verbs: {', '.join(VERBS)}"
            )
        self.exit(2, f"error: {message}\n  = help: {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="metricdef",
        parents=[_shared(None)],
        description="Experiment readouts you can review: YAML to SQL to a decision.",
    )
    parser.add_argument("--version", action="version", version=f"metricdef {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    for name in VERBS:
        verb = verbs.add_parser(
            name, parents=[_shared(argparse.SUPPRESS, name)], help=_OVERVIEW[name], description=_OVERVIEW[name]
        )
        globals()[f"_add_{name}"](verb)
    return parser


_FORMATS = ("text", "json")
_MORE_FORMATS = {  # of verbs that other programs read, or people who look
    "check": ("github", "sarif"),
    "plan": ("markdown",),
    "diff": ("markdown",),
    "lineage": ("markdown",),
    "run": ("html", "markdown"),
    "ingest": ("html", "markdown"),
}
_OWN_FORMATS = {"report": ("html", "markdown", "text")}  # instead of the usual ones


def _formats(verb: str | None) -> tuple[str, ...]:
    """What a verb can print; without a verb whatever any can."""
    if verb in _OWN_FORMATS:
        return _OWN_FORMATS[verb]
    more = [name for key, names in _MORE_FORMATS.items() if verb in (key, None) for name in names]
    return tuple(dict.fromkeys((*_FORMATS, *more)))


def _shared(default: str | None, verb: str | None = None) -> _Parser:
    """Options that may stand before or after the verb."""
    shared = _Parser(add_help=False)
    flag = False if default is None else default
    project: dict[str, Any] = {"metavar": "DIR", "default": default}
    if verb == "schema":
        project |= {"nargs": "?", "const": "."}  # there it also says that a project's names are meant
    shared.add_argument("--project", help="folder that holds metrics/project.yml (default: nearest upward)", **project)
    shared.add_argument("--profile", metavar="NAME", default=default, help="profile of project.yml to use")
    shared.add_argument(
        "--format",
        choices=_formats(verb),
        default=default,
        help=f"how to print the result (default: {_formats(verb)[0]})",
    )
    shared.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        default=flag,
        help="no progress; of results what matters most, such as a readout's decision",
    )
    shared.add_argument("-v", "--verbose", action="store_true", default=flag, help="more detail")
    shared.add_argument("--no-color", action="store_true", default=flag, help="plain text (NO_COLOR does the same)")
    shared.add_argument("--debug", action="store_true", default=flag, help="show a traceback on errors")
    return shared


def _add_init(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("directory", nargs="?", default=".", metavar="DIR", help="where to put it (default: here)")
    verb.add_argument("--demo", action="store_true", help="a finished experiment with its data")


def _add_check(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--live", action="store_true", help="also ask the warehouse for tables, columns and types")
    verb.add_argument(
        "--refresh-schema",
        action="store_true",
        help="write the warehouse's columns to metrics/.schema.json, so that `check` knows them offline",
    )
    verb.add_argument(
        "--fail-on", choices=("error", "warning", "never"), default="error", help="which findings give exit code 1"
    )
    verb.add_argument("--new-only", action="store_true", help="only findings that were not there at --base")
    _add_base(verb)


def _add_compile(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("experiment", metavar="EXPERIMENT")
    dialects = "duckdb, snowflake, postgres, spark, clickhouse, bigquery, redshift or trino"
    verb.add_argument("--dialect", metavar="NAME", help=f"{dialects} (default: that of the profile)")
    verb.add_argument("--as-of", metavar="INSTANT", help="rows at or after it do not count (default: now)")
    _add_daily(verb)
    verb.add_argument("-o", "--output", metavar="DIR", help="write DIR/EXPERIMENT/DIALECT/run.sql and manifest.json")


def _add_test(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("select", nargs="*", metavar="SELECT", help="names of tests or metrics; * stands for anything")
    what = verb.add_mutually_exclusive_group()
    what.add_argument("--record", action="store_true", help="write the figures that come out into the tests' files")
    what.add_argument("--missing", action="store_true", help="list the metrics without a test instead")
    verb.add_argument(
        "--fail-on", choices=("missing",), action="append", default=[], help="exit code 1 on metrics without a test too"
    )


def _add_daily(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--daily", action="store_true", help="also the cumulative estimates of every day")


def _add_run(verb: argparse.ArgumentParser) -> None:
    what = verb.add_mutually_exclusive_group(required=True)
    what.add_argument("experiment", nargs="?", metavar="EXPERIMENT")
    what.add_argument("--all", action="store_true", help="every experiment that runs; -o is a folder then")
    verb.add_argument(
        "--jobs", type=_count, default=1, metavar="N", help="with --all: experiments at a time (default: 1)"
    )
    verb.add_argument("--resume", action="store_true", help="with --all: leave out those whose readout is there")
    verb.add_argument("--as-of", metavar="INSTANT", help="rows at or after it do not count (default: now)")
    _add_daily(verb)
    verb.add_argument("--dry-run", action="store_true", help="print the SQL, and what the warehouse expects of it")
    _add_readout(verb)


def _add_report(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("file", metavar="FILE.json", help="as `run -o` writes it; - reads standard input")
    verb.add_argument("-o", "--output", metavar="FILE", help="write it to FILE instead of printing it")
    verb.add_argument("--plot", metavar="FILE", help="write the intervals as a picture to FILE.svg or FILE.png")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number < 65536:
        raise ValueError
    return number


def _add_build(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="default: all that run")
    verb.add_argument("--dialect", metavar="NAME", help="default: that of the profile")
    verb.add_argument(
        "--as-of",
        metavar="INSTANT",
        help="rows at or after it do not count; a placeholder such as '{{ ds }}' makes one file for any date put there",
    )
    verb.add_argument("--to", metavar="DATE", help="a file for every date from --as-of to this one, inclusive")
    _add_daily(verb)
    verb.add_argument("--incremental", action="store_true", help="add the day before --as-of to a state of every unit")
    verb.add_argument(
        "--drop-expired",
        action="store_true",
        help="write a file that drops states older than the project's `retention`, and what stopped files have left",
    )
    verb.add_argument("--restate", metavar="DAY[..DAY]", help="days that an incremental job reads again as a whole")
    verb.add_argument("-o", "--output", metavar="DIR", default="target", help="folder to write to (default: target)")


def _add_ingest(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("source", metavar="FILE|TABLE", help="a .parquet or .csv file, or the table that the job wrote")
    verb.add_argument("--as-of", metavar="INSTANT", help="of the rows (default: the latest)")
    verb.add_argument(
        "--job", choices=("dated", "open", "incremental"), help="of which, where several wrote rows of that instant"
    )
    _add_readout(verb)


def _add_lock(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("experiment", metavar="EXPERIMENT")


def _add_log(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="default: all")
    verb.add_argument("--verify", action="store_true", help="prove that the record is what was written to it")
    verb.add_argument(
        "--head", metavar="HASH", help="with --verify: the hash of a row, as a readout shows it, must be there"
    )


def _add_schema(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "which",
        nargs="?",
        choices=("definitions", "project"),
        default="definitions",
        metavar="WHICH",
        help="definitions (default), or project: of project.yml",
    )
    verb.add_argument("-o", "--output", metavar="DIR", help="write DIR/definitions.json and DIR/project.json")


def _add_fmt(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("files", nargs="*", metavar="FILE", help="default: all files of the project")
    verb.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a file would change")


def _add_explain(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("rule", nargs="?", metavar="RULE", help="as findings name it, such as sql-column")


def _add_docs(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-o", "--output", metavar="DIR", help="folder to write the site to (default: target/docs)")
    verb.add_argument("--readouts", metavar="DIR", help="folder with readouts (default: readouts in the project)")
    verb.add_argument("--tests", action="store_true", help="run the unit tests of metrics, and show what they give")
    verb.add_argument("--serve", action="store_true", help="serve it on 127.0.0.1 instead, and follow changes")
    verb.add_argument("--port", type=_port, metavar="N", help="with --serve (default: 8000)")


def _add_base(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--base", metavar="REV", help="revision of git to compare with (default: origin/main, else main)")


def _add_sample(verb: argparse.ArgumentParser, prefix: str = "") -> None:
    what = f"{prefix}compute from this share of the units, such as 10%%, always the same ones; without verdicts"
    verb.add_argument("--sample", metavar="SHARE", help=what)


def _add_diff(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("experiment", metavar="EXPERIMENT")
    _add_base(verb)
    verb.add_argument("--as-of", metavar="INSTANT", help="rows at or after it do not count (default: now)")
    _add_sample(verb)
    verb.add_argument(
        "--fail-on", choices=("changed",), action="append", default=[], help="exit code 1 where anything changes"
    )


def _add_plan(verb: argparse.ArgumentParser) -> None:
    _add_base(verb)
    verb.add_argument(
        "--diff",
        nargs="*",
        metavar="EXPERIMENT",
        help="also the numbers of experiments before and now; without names of all that are reached and no drafts",
    )
    verb.add_argument(
        "--cost", action="store_true", help="also what computing again would read, as the warehouse expects"
    )
    verb.add_argument(
        "--as-of", metavar="INSTANT", help="with --diff and --cost: rows at or after it do not count (default: now)"
    )
    _add_sample(verb, "with --diff: ")
    verb.add_argument(
        "--fail-on",
        choices=("blocked", "changed", "never"),
        default="blocked",
        help="which changes give exit code 1: blocked ones, or also those that change results of experiments under way",
    )


def _add_lineage(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--column", metavar="T.C", required=True, help="such as analytics.orders.discount, or SOURCE.COLUMN"
    )


def _add_readout(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("-o", "--output", metavar="FILE", help="also write the readout as JSON to FILE")
    verb.add_argument(
        "--fail-on",
        choices=("stop", "invalid", "not_computed"),
        action="append",
        default=[],
        help="exit code 1 on that result (may be repeated)",
    )


if __name__ == "__main__":
    sys.exit(main())
