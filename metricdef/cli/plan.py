"""`metricdef plan`: what the definitions change against a commit, and which experiments that reaches."""

from __future__ import annotations

import argparse
import sys

from metricdef.api import Project
from metricdef.cli.output import Progress, use_color, width
from metricdef.reports.review_json import review_json
from metricdef.reports.review_markdown import render_comment
from metricdef.reports.review_text import render_review
from metricdef.review.records import Review


def run(options: argparse.Namespace) -> int:
    """Print the review; 1 where the change must not be merged as it is, or `--fail-on` is met."""
    project = Project(options.project or ".")
    progress = Progress(quiet=options.quiet)
    progress("reading the definitions before the change")
    review = project.review(options.base, options.profile)
    progress.done()
    if options.format == "json":
        print(review_json(review), end="")
    elif options.format == "markdown":
        print(render_comment(review), end="")
    else:
        color = use_color(sys.stdout, off=options.no_color)
        print(render_review(review, width(), color, verbose=options.verbose))
    return exit_code(review, options.fail_on)


def exit_code(review: Review, fail_on: str) -> int:
    """By policy: blocked changes; with `changed` also those that change results of experiments that are no drafts."""
    if fail_on == "never":
        return 0
    return int(bool(review.blockers) or (fail_on == "changed" and review.changes_live_results))
