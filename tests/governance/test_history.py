"""The history of definitions against commits that are made here."""

import os
import subprocess

import pytest
import yaml

from metricdef.governance.history import read_history


class Repository:
    def __init__(self, root):
        self.root = root
        self.day = 0
        self.run("init", "-q", "-b", "main")

    def run(self, *arguments):
        self.day += 1
        when = f"2026-03-{min(self.day, 28):02d}T00:00:00Z"
        who = {"GIT_AUTHOR_NAME": "Ada", "GIT_COMMITTER_NAME": "Bob", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_EMAIL": "b@example.org"}  # fmt: skip
        environment = {**os.environ, **who, "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        subprocess.run(["git", "-C", str(self.root), *arguments], check=True, env=environment, capture_output=True)

    def commit(self, message, **files):
        """Write files of definitions (None removes one) and commit them."""
        folder = self.root / "metrics"
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            path = folder / f"{name}.yml"
            if content is None:
                path.unlink()
            else:
                path.write_text(content if isinstance(content, str) else yaml.dump(content))
        self.run("add", "-A")
        self.run("commit", "-q", "--allow-empty", "-m", message)

    def of(self, kind, name):
        found = read_history(self.root).get((kind, name), ())
        return [(r.subject, r.what, r.fields) for r in found]


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def metric(**changes):
    return {"metrics": {"revenue": {"type": "mean", "source": "orders", "agg": "sum", **changes}}}


def test_added_changed_and_untouched(repository):
    repository.commit("first", shop=metric())
    repository.commit("window", shop=metric(window="7d"))
    repository.commit("another", more={"metrics": {"other": {"type": "proportion"}}})
    repository.commit("two keys", shop=metric(window="14d", owner="me"))
    assert repository.of("metrics", "revenue") == [
        ("two keys", "changed", ("owner", "window")),
        ("window", "changed", ("window",)),
        ("first", "added", ()),
    ]
    assert repository.of("metrics", "other") == [("another", "added", ())]


def test_dates_and_authors(repository):
    repository.commit("first | with \x1f no end", shop=metric())
    (revision,) = read_history(repository.root)["metrics", "revenue"]
    assert (revision.on, revision.by) == ("2026-03-03", "Ada")
    assert len(revision.commit) == 40


def test_layout_and_moves_are_no_changes(repository):
    repository.commit("first", shop=metric())
    repository.commit("layout", shop="# a comment\n" + yaml.dump(metric(), default_flow_style=True))
    repository.commit("moved", shop=None, elsewhere=metric())
    assert repository.of("metrics", "revenue") == [("first", "added", ())]


def test_removed_and_added_again(repository):
    repository.commit("first", shop=metric())
    repository.commit("gone", shop={"metrics": {}})
    repository.commit("back", shop=metric())
    assert [what for _, what, _ in repository.of("metrics", "revenue")] == ["added", "removed", "added"]


def test_a_file_that_cannot_be_read_counts_as_unchanged(repository):
    repository.commit("first", shop=metric())
    repository.commit("broken", shop="metrics: [")
    repository.commit("mended", shop=metric(window="7d"))
    assert repository.of("metrics", "revenue") == [("mended", "changed", ("window",)), ("first", "added", ())]


def test_a_merge_is_one_change(repository):
    repository.commit("first", shop=metric())
    repository.run("checkout", "-q", "-b", "branch")
    repository.commit("try", shop=metric(window="7d"))
    repository.commit("try again", shop=metric(window="14d"))
    repository.run("checkout", "-q", "main")
    repository.run("merge", "-q", "--no-ff", "-m", "merged", "branch")
    assert repository.of("metrics", "revenue") == [("merged", "changed", ("window",)), ("first", "added", ())]


def test_kinds_and_odd_file_names(repository):
    repository.commit(
        "first", **{"ein tëst": {"experiments": {"e": {"owners": ["a"]}}, "sources": {"s": {}}, "profiles": {"x": {}}}}
    )
    found = read_history(repository.root)
    assert set(found) == {("experiments", "e"), ("sources", "s")}


def test_a_project_below_the_top_of_the_repository(repository):
    root = repository.root / "team"
    (root / "metrics").mkdir(parents=True)
    (root / "metrics" / "shop.yml").write_text(yaml.dump(metric()))
    repository.commit("both", shop={"metrics": {"outside": {}}})
    assert set(read_history(root)) == {("metrics", "revenue")}


def test_no_repository(tmp_path):
    assert read_history(tmp_path) == {}
