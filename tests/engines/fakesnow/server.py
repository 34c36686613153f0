"""fakesnow's server, with what the connector and the suite need beside it. Runs in a virtual environment of its own.

fakesnow lets everyone in and answers every statement at once. Here a login needs the password and gets the tokens that
the connector 5.x insists on; a statement sent as asynchronous runs on its own, can be asked for, fetched and aborted;
session parameters are kept, with the zone that accounts have by default, and the time a statement may take is held.
GET /received says what clients sent. Loopback only.

    python server.py PORT PASSWORD
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import sys
import uuid
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import uvicorn
from fakesnow import transforms
from fakesnow.fakes import FakeSnowflakeConnection
from fakesnow.server import login_request, query_request, routes, shared_fs, to_token
from fakesnow.server import sessions as connections
from sqlglot import exp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

DATABASE, SCHEMA = "LAB", "PUBLIC"
DEFAULT_ZONE = "America/Los_Angeles"  # a session that forgets its own is seen
SUSPENDED = "SUSPENDED"  # the warehouse that does not run; with _AT_ONCE the answer comes instead of a query's number
PARAMETER = re.compile(r"(\w+)\s*=\s*(?:'((?:[^']|'')*)'|(\w+))")
EXPLAIN = "EXPLAIN USING JSON "
SOURCE = re.compile(r"(?:FROM|JOIN)\s+(\w+)", re.IGNORECASE)
BAD_PASSWORD = ("390100", None, "Incorrect username or password was specified.")
NO_WAREHOUSE = ("000606", "57P03", "No active warehouse selected in the current session.")
CANCELLED = ("000604", "57014", "SQL execution canceled")
TOO_LONG = ("000630", "57014", "Statement reached its statement or warehouse timeout of {} second(s) and was canceled.")

cast_sums = transforms.numeric_agg_implicit_cast


def cast_plain_sums(tree: exp.Expression) -> exp.Expression:
    """Of SUM(DISTINCT x) fakesnow would make SUM(CAST(DISTINCT x AS DOUBLE)), which is no SQL."""
    return tree if isinstance(tree.this, exp.Distinct) else cast_sums(tree)


transforms.numeric_agg_implicit_cast = cast_plain_sums
received: dict[str, list[Any]] = {"logins": [], "statements": [], "aborted": []}


@dataclass
class Desk:
    """Who may log in. As many logins as `busy` meet a service that is."""

    password: str = ""
    busy: int = 0


desk = Desk()


@dataclass
class Session:
    """One login."""

    connection: FakeSnowflakeConnection
    warehouse: str
    parameters: dict[str, Any]

    def apply(self) -> None:
        zone = self.parameters.get("TIMEZONE", DEFAULT_ZONE)
        self.connection._duck_conn.execute(f"SET TimeZone = '{zone}'")


@dataclass
class Statement:
    """One statement on its way."""

    session: Session
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    task: asyncio.Task[dict[str, Any]] | None = None
    stopped: tuple[str, str, str] | None = None

    def stop(self, why: tuple[str, str, str]) -> None:
        if self.task and not self.task.done():
            self.stopped = why
            self.session.connection._duck_conn.interrupt()

    async def run(self, request: Request) -> dict[str, Any]:
        seconds = int(self.session.parameters.get("STATEMENT_TIMEOUT_IN_SECONDS", 172800))
        code, state, words = TOO_LONG
        bomb = asyncio.get_running_loop().call_later(seconds, self.stop, (code, state, words.format(seconds)))
        try:
            answer = json.loads((await query_request(request)).body)
        finally:
            bomb.cancel()
        if self.stopped:
            return failure(*self.stopped, query=self.id)
        if not answer["success"]:
            return failure(answer["code"], (answer["data"] or {}).get("sqlState"), answer["message"], query=self.id)
        answer["data"]["queryId"] = self.id
        return answer


sessions: dict[str, Session] = {}
statements: dict[str, Statement] = {}


def failure(code: str, state: str | None, message: str, query: str | None = None) -> dict[str, Any]:
    data = {"errorCode": code, "sqlState": state, "queryId": query}
    return {"success": False, "code": code, "message": message, "data": data}


async def refuse(*why: Any, query: str) -> dict[str, Any]:
    return failure(*why, query=query)


def success(**data: Any) -> JSONResponse:
    return JSONResponse({"success": True, "code": None, "message": None, "data": data})


async def content(request: Request) -> dict[str, Any]:
    body = await request.body()
    return json.loads(gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body)


async def login(request: Request) -> JSONResponse:
    sent = (await content(request))["data"]
    parameters = dict(sent.get("SESSION_PARAMETERS") or {})
    received["logins"].append(
        {**request.query_params, "parameters": parameters, "authenticator": sent.get("AUTHENTICATOR")}
    )
    if desk.busy:
        desk.busy -= 1
        return JSONResponse({}, status_code=503)
    if sent.get("PASSWORD") != desk.password and not (
        sent.get("AUTHENTICATOR") == "SNOWFLAKE_JWT" and sent.get("TOKEN")
    ):
        return JSONResponse(failure(*BAD_PASSWORD))
    answer = json.loads((await login_request(request)).body)
    data = answer["data"]
    session = Session(connections[data["token"]], request.query_params.get("warehouse", ""), parameters)
    session.connection.nop_regexes = ["ALTER SESSION"]
    session.apply()
    sessions[data["token"]] = session
    data |= {"masterToken": f"master of {data['token']}", "sessionId": len(sessions), "displayUserName": "tester"}
    data |= {"validityInSeconds": 3600, "masterValidityInSeconds": 14400, "healthCheckInterval": 45}
    data["sessionInfo"] |= {"warehouseName": session.warehouse or None, "roleName": "ANALYST"}
    return JSONResponse({"code": None, "message": None, **answer})


def estimate(query: str) -> str:
    """SQL for Snowflake's own estimate: 1,000 bytes and a partition for every reading of a table; refused where it would be."""
    names = [name.upper() for name in SOURCE.findall(query)]
    reads = len([name for name in names if not name.startswith("MD_")])
    scans = [{"operation": "TableScan", "objects": [f"{DATABASE}.{SCHEMA}.{name}"]} for name in names]
    totals = {"partitionsTotal": 9, "partitionsAssigned": reads, "bytesAssigned": 1000 * reads}
    stats = json.dumps({"GlobalStats": totals, "Operations": [[{"operation": "Result"}, *scans]]})
    return f"SELECT '{stats}' AS content FROM (SELECT COUNT(*) AS n FROM (\n{query}\n) AS planned WHERE 1 = 0) AS once"


async def query(request: Request) -> JSONResponse:
    sent = await content(request)
    sql = sent["sqlText"]
    session = sessions[to_token(request)]
    received["statements"].append(sql)
    if sql.upper().startswith(EXPLAIN):
        body = json.dumps({**sent, "sqlText": estimate(sql[len(EXPLAIN) :])}).encode()
        request._body = gzip.compress(body) if request.headers.get("Content-Encoding") == "gzip" else body
    if sql.upper().startswith("ALTER SESSION SET"):
        session.parameters |= {name.upper(): text or word for name, text, word in PARAMETER.findall(sql)}
        session.apply()
    statement = Statement(session)
    statements[statement.id] = statement
    refused = session.warehouse.upper().startswith(SUSPENDED) and sql.upper().startswith("SELECT")
    if refused and not sent.get("describeOnly"):
        statement.task = asyncio.create_task(refuse(*NO_WAREHOUSE, query=statement.id))
    else:
        statement.task = asyncio.create_task(statement.run(request))
    if not sent.get("asyncExec") or session.warehouse.upper() == f"{SUSPENDED}_AT_ONCE":
        return JSONResponse(await statement.task)
    where = {"queryId": statement.id, "getResultUrl": f"/queries/{statement.id}/result", "queryAbortsAfterSecs": 300}
    return JSONResponse({"success": True, "code": "333334", "message": "Query execution in progress.", "data": where})


async def status(request: Request) -> JSONResponse:
    statement = statements.get(request.path_params["id"].strip("/"))  # 5.x sends two slashes
    if statement is None or statement.task is None:
        return success(queries=[])
    if not statement.task.done():
        return success(queries=[{"id": statement.id, "status": "RUNNING"}])
    answer = statement.task.result()
    found = {"id": statement.id, "status": "SUCCESS" if answer["success"] else "FAILED_WITH_ERROR"}
    if not answer["success"]:
        found |= {"errorCode": answer["code"], "errorMessage": answer["message"]}
    return success(queries=[found])


async def result(request: Request) -> JSONResponse:
    task = statements[request.path_params["id"]].task
    assert task
    return JSONResponse(await task)


async def abort(request: Request) -> JSONResponse:
    received["aborted"].append(request.path_params["id"])
    statements[request.path_params["id"]].stop(CANCELLED)
    return success()


async def fill(request: Request) -> JSONResponse:
    """Replace all tables. INSERT takes milliseconds a row through the connector."""
    connection = shared_fs.connect(DATABASE, SCHEMA)
    cursor = connection.cursor()
    found = cursor.execute(
        f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{SCHEMA}'"
    ).fetchall()
    for (name,) in found:
        cursor.execute(f'DROP TABLE "{name}"')
    for name, table in (await request.json()).items():
        columns = ", ".join(f'"{column.upper()}" {kind}' for column, kind in table["columns"].items())
        cursor.execute(f"CREATE TABLE {name} ({columns})")
        values = [pa.array([row[i] for row in table["rows"]]) for i in range(len(table["columns"]))]
        rows = pa.table(values, names=list(table["columns"]))
        connection._duck_conn.register("rows_to_load", rows)
        connection._duck_conn.execute(f"INSERT INTO {name} SELECT * FROM rows_to_load")
        connection._duck_conn.unregister("rows_to_load")
    return success()


async def tell(request: Request) -> JSONResponse:
    """What clients sent since the last time."""
    desk.busy = int(request.query_params.get("busy", 0))
    found = {key: list(values) for key, values in received.items()}
    for values in received.values():
        values.clear()
    return JSONResponse(found)


async def nothing(request: Request) -> JSONResponse:
    return success()


app = Starlette(
    routes=[
        Route("/session/v1/login-request", login, methods=["POST"]),
        Route("/session/token-request", nothing, methods=["POST"]),
        Route("/telemetry/send", nothing, methods=["POST"]),
        Route("/queries/v1/query-request", query, methods=["POST"]),
        Route("/queries/{id}/result", result, methods=["GET"]),
        Route("/queries/{id}/abort-request", abort, methods=["POST"]),
        Route("/monitoring/queries/{id:path}", status, methods=["GET"]),
        Route("/fill", fill, methods=["POST"]),
        Route("/received", tell, methods=["GET"]),
        *routes,
    ]
)

if __name__ == "__main__":
    desk.password = sys.argv[2]
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="critical")
