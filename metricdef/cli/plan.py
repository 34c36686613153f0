"""`metricdef plan`: what the definitions change against a commit, and which experiments that reaches."""

from __future__ import annotations

import argparse
import json
import sys

from metricdef.api import Project
from metricdef.cli.output import Progress, use_color, width
from metricdef.errors import UsageError
from metricdef.reports.numbers_words import numbers_dict, render_numbers
from metricdef.reports.review_costs import costs_list, render_costs
from metricdef.reports.review_json import review_dict
from metricdef.reports.review_markdown import render_comment
from metricdef.reports.review_text import render_review
from metricdef.review.costs import RunCost
from metricdef.review.numbers import Numbers
from metricdef.review.records import Review


def run(options: argparse.Namespace) -> int:
    """Print the review; 1 where the change must not be merged as it is, or `--fail-on` is met."""
    project = Project(options.project or ".")
    progress = Progress(quiet=options.quiet)
    progress("reading the definitions before the change")
    review = project.review(options.base, options.profile, compiled=None if options.verbose else 5)
    numbers = _numbers(project, review, options, progress)
    costs = _costs(project, review, options, progress)
    progress.done()
    if options.format == "json":
        more = {"numbers": [numbers_dict(found) for found in numbers], "costs": costs_list(costs)}
        print(json.dumps({**review_dict(review), **more}, indent=2))
    elif options.format == "markdown":
        print(render_comment(review, numbers, costs), end="")
    else:
        color = use_color(sys.stdout, off=options.no_color)
        parts = [render_review(review, width(), color, verbose=options.verbose)]
        parts += [render_costs(costs, width())] if costs else []
        print("\n\n".join([*parts, *(render_numbers(found, width(), color) for found in numbers)]))
    return exit_code(review, options.fail_on)


def _numbers(project: Project, review: Review, options: argparse.Namespace, progress: Progress) -> tuple[Numbers, ...]:
    """Of the experiments named, or of all that are reached, have results and can be run under both states."""
    if options.diff is None:
        if options.as_of and not options.cost:
            raise UsageError("`--as-of` goes with `--diff` and `--cost`")
        if options.sample:
            raise UsageError("`--sample` goes with `--diff`")
        return ()
    reached = [e.experiment for e in review.experiments if e.is_live and e.change != "breaking"]
    names = options.diff or ([] if review.errors or project.loaded.errors else reached)
    if not names:
        return ()
    return project.diff(names, options.base, options.profile, options.as_of, progress, sample=options.sample)


def _costs(project: Project, review: Review, options: argparse.Namespace, progress: Progress) -> tuple[RunCost, ...]:
    """Of the experiments whose results change or that are new, where they can be computed."""
    if not options.cost or project.loaded.errors:
        return ()
    again = [e.experiment for e in review.experiments if e.change not in ("metadata", "rename", "breaking")]
    progress("asking the warehouse what computing them again would read")
    return project.costs(again, options.base, options.profile, options.as_of) if again else ()


def exit_code(review: Review, fail_on: str) -> int:
    """By policy: blocked changes; with `changed` also those that change results of experiments that are no drafts."""
    if fail_on == "never":
        return 0
    return int(bool(review.blockers) or (fail_on == "changed" and review.changes_live_results))
