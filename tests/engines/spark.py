"""Spark in this process, on one core, with tables in Parquet files."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from oracle.reading import Table

from metricdef.warehouses import Profile

TYPES = {
    "text": pa.string(),
    "integer": pa.int64(),
    "double": pa.float64(),
    "timestamp": pa.timestamp("us"),
    "boolean": pa.bool_(),
    "decimal": pa.decimal128(12, 2),
    "instant": pa.timestamp("us", tz="UTC"),
}
# For tables of a few rows, planning and generating code is all that takes time.
SETTINGS = {
    "spark.master": "local[1]",
    "spark.log.level": "ERROR",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.constraintPropagation.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.ui.explainMode": "simple",
    "spark.sql.debug.maxToStringFields": "1",
    # A zone that is not UTC, so that a session that forgets its own is seen.
    "spark.sql.session.timeZone": "America/Los_Angeles",
}


def missing() -> str | None:
    """Why it cannot run here."""
    try:
        import pyspark  # noqa: F401
    except ImportError:
        return "pyspark is not installed (make test-engines installs it)"
    return None if shutil.which("java") else "there is no Java (make test-engines installs it)"


class Spark:
    """One Spark for all cases; the adapter uses what runs already, in a session of its own."""

    name = "spark"
    cases = 60

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="metricdef-spark-"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pyspark.sql import SparkSession

            builder = SparkSession.builder.appName("metricdef-tests")
            for key, value in SETTINGS.items():
                builder = builder.config(key, value)
            builder = builder.config("spark.sql.warehouse.dir", str(self.folder / "warehouse"))
            self.session = builder.config("spark.local.dir", str(self.folder / "scratch")).getOrCreate()

    def fill(self, tables: Mapping[str, Table]) -> None:
        folder = self.folder / "tables"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, table in tables.items():
            columns = {
                column: pa.array([row.get(column) for row in table.rows], TYPES[kind])
                for column, kind in table.columns.items()
            }
            pq.write_table(pa.table(columns), folder / f"{name}.parquet")

    def script(self, statements: Sequence[str], folder: Path | None = None) -> None:
        """One by one in a session that has nothing set but what they set, over the Parquet files of a folder."""
        session = self.session.newSession()
        session.sql("CREATE DATABASE IF NOT EXISTS public")
        for path in (folder or self.folder / "tables").glob("*.parquet"):
            session.read.parquet(str(path)).createOrReplaceTempView(path.stem)
        for statement in statements:
            session.sql(statement)

    def profile(self, **options: Any) -> Profile:
        tables = {"tables": str(self.folder / "tables")}  # also for a project in another folder
        return Profile("engine", "spark", self.folder, tables | options, {}, tables)

    def stop(self) -> None:
        self.session.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
