"""One task for every experiment that runs, daily. Beside this file, whenever definitions change:

metricdef build --as-of "{{ data_interval_end.in_timezone('Europe/Berlin') | ds }}" -o experiments
"""

import json
from pathlib import Path

import pendulum
from airflow.providers.common.sql.operators.sql import SQLExecuteQueryOperator
from airflow.sdk import DAG

FILES = Path(__file__).parent / "experiments"
JOBS = json.loads((FILES / "manifest.json").read_text())["jobs"]

with DAG(
    dag_id="experiments",
    schedule="15 6 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Europe/Berlin"),
    catchup=False,
    template_searchpath=str(FILES),
):
    for job in JOBS:
        SQLExecuteQueryOperator(
            task_id=f"moments_{job['experiment']}",
            conn_id="warehouse",
            sql=job["file"],
            owner=", ".join(job["owners"]),
            split_statements=True,
            autocommit=True,  # the file has its own transaction
            retries=2,  # run again, it replaces its own rows
        )
