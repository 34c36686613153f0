"""One asset for every experiment that runs, with a partition a day. Beside this file, whenever definitions change:

metricdef build --as-of "{{as_of}}" -o experiments
"""

import json
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import duckdb

FILES = Path(__file__).parent / "experiments"
JOBS = json.loads((FILES / "manifest.json").read_text())["jobs"]


class Warehouse(dg.ConfigurableResource):
    """Replace by your own: it runs the statements of a file in order, on one connection."""

    path: str

    def run(self, script: str) -> None:
        with duckdb.connect(self.path) as connection:
            connection.execute(script)


def moments(job: dict) -> dg.AssetsDefinition:
    schedule = job["schedule"]
    days = dg.DailyPartitionsDefinition(
        start_date=schedule["from"][:10],
        end_date=str(date.fromisoformat(schedule["until"]) + timedelta(days=1)),
        timezone=schedule["timezone"],
    )

    @dg.asset(
        name=f"moments_{job['experiment']}",
        deps=[dg.AssetKey(table.replace('"', "").split(".")) for table in job["inputs"]],
        partitions_def=days,
        metadata={"table": job["output"], "owners": job["owners"], "definitions": job["definitions"]},
    )
    def asset(context: dg.AssetExecutionContext, warehouse: Warehouse) -> None:
        end = context.partition_time_window.end  # a day is read when it is over
        warehouse.run((FILES / job["file"]).read_text().replace(job["as_of"], f"{end:%Y-%m-%d}"))

    return asset


ASSETS = [moments(job) for job in JOBS]
defs = dg.Definitions(assets=ASSETS, resources={"warehouse": Warehouse(path=dg.EnvVar("SHOP_DATABASE"))})
