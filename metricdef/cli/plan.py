"""`metricdef plan`: what the definitions change against a commit, and which experiments that reaches."""

from __future__ import annotations

import argparse
import json
import sys

from metricdef.api import Project
from metricdef.cli.output import Progress, use_color, width
from metricdef.errors import UsageError
from metricdef.reports.numbers_words import numbers_dict, render_numbers
from metricdef.reports.review_json import review_dict
from metricdef.reports.review_markdown import render_comment
from metricdef.reports.review_text import render_review
from metricdef.review.numbers import Numbers
from metricdef.review.records import Review


def run(options: argparse.Namespace) -> int:
    """Print the review; 1 where the change must not be merged as it is, or `--fail-on` is met."""
    project = Project(options.project or ".")
    progress = Progress(quiet=options.quiet)
    progress("reading the definitions before the change")
    review = project.review(options.base, options.profile, compiled=None if options.verbose else 5)
    numbers = _numbers(project, review, options, progress)
    progress.done()
    if options.format == "json":
        document = {**review_dict(review), "numbers": [numbers_dict(found) for found in numbers]}
        print(json.dumps(document, indent=2))
    elif options.format == "markdown":
        print(render_comment(review, numbers), end="")
    else:
        color = use_color(sys.stdout, off=options.no_color)
        parts = [render_review(review, width(), color, verbose=options.verbose)]
        print("\n\n".join([*parts, *(render_numbers(found, width(), color) for found in numbers)]))
    return exit_code(review, options.fail_on)


def _numbers(project: Project, review: Review, options: argparse.Namespace, progress: Progress) -> tuple[Numbers, ...]:
    """Of the experiments named, or of all that are reached, have results and can be run under both states."""
    if options.diff is None:
        if options.as_of or options.sample:
            raise UsageError(f"`{'--as-of' if options.as_of else '--sample'}` goes with `--diff`")
        return ()
    reached = [e.experiment for e in review.experiments if e.is_live and e.change != "breaking"]
    names = options.diff or ([] if review.errors or project.loaded.errors else reached)
    if not names:
        return ()
    return project.diff(names, options.base, options.profile, options.as_of, progress, sample=options.sample)


def exit_code(review: Review, fail_on: str) -> int:
    """By policy: blocked changes; with `changed` also those that change results of experiments that are no drafts."""
    if fail_on == "never":
        return 0
    return int(bool(review.blockers) or (fail_on == "changed" and review.changes_live_results))
