"""Runs queries on DuckDB, chDB (ClickHouse) and ROAPI (DataFusion) over the same Parquet files.

    peers.py ORDER.json

Called by `bench-worker peers`, which writes the order and compares the answers. Prints one line of
JSON for each engine and query.
"""

import http.client
import json
import shutil
import socket
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path


def plain(value):
    """A value as the worker's answers have it as text."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text.removesuffix(".0")


def measure(order, engine, ask):
    """Asks each query often, and prints how long that took and what came out."""
    for case in order["cases"]:
        result = {"engine": engine, "case": case["name"], "runs": 0, "median_us": 0, "p99_us": 0}
        try:
            rows = [[[plain(value) for value in row] for row in ask(sql)] for sql in case["sql"]]
            for sql in case["sql"]:
                ask(sql)
            times = []
            began = time.perf_counter()
            while time.perf_counter() - began < order["seconds"] or len(times) < 3:
                for sql in case["sql"]:
                    start = time.perf_counter()
                    ask(sql)
                    times.append((time.perf_counter() - start) * 1e6)
            times.sort()
            result |= {
                "rows": rows,
                "runs": len(times),
                "median_us": statistics.median_low(times),
                "p99_us": times[max(0, -(-len(times) * 99 // 100) - 1)],
                "error": None,
            }
        except Exception as error:  # What one engine cannot do is a result too.
            result |= {"rows": [], "error": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps(result), flush=True)


def duckdb_files(order):
    import duckdb

    connection = duckdb.connect(config={"threads": order["threads"]})
    connection.execute("SET parquet_metadata_cache = true")
    for table, _ in order["tables"]:
        files = f"{order['folder']}/{table}/*.parquet"
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{files}')")
    name = f"DuckDB {duckdb.__version__} on the files"
    measure(order, name, lambda sql: connection.execute(sql).fetchall())
    connection.close()


def duckdb_loaded(order):
    import duckdb

    connection = duckdb.connect(config={"threads": order["threads"]})
    for table, columns in order["tables"]:
        files = f"{order['folder']}/{table}/*.parquet"
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM read_parquet('{files}')")
        if table != "token_balances":
            connection.execute(f"CREATE INDEX {table}_key ON {table} ({columns[0]})")
    name = f"DuckDB {duckdb.__version__} loaded, with indexes"
    measure(order, name, lambda sql: connection.execute(sql).fetchall())
    connection.close()


@contextmanager
def chdb_session(order):
    from chdb import session

    folder = Path(order["folder"]) / "chdb"
    shutil.rmtree(folder, ignore_errors=True)
    opened = session.Session(str(folder))
    try:
        yield opened
    finally:
        opened.close()
        shutil.rmtree(folder, ignore_errors=True)


def chdb_ask(opened, threads):
    def ask(sql):
        answer = opened.query(f"{sql} SETTINGS max_threads = {threads}", "JSONCompact")
        return json.loads(str(answer), parse_float=str)["data"]

    return ask


def chdb_files(order):
    import chdb

    with chdb_session(order) as opened:
        ask = chdb_ask(opened, order["threads"])

        def over_files(sql):
            for table, _ in order["tables"]:
                files = f"file('{order['folder']}/{table}/*.parquet', 'Parquet')"
                sql = sql.replace(f"FROM {table}", f"FROM {files}")
            return ask(sql)

        measure(order, f"chDB {chdb.__version__} on the files", over_files)


def chdb_loaded(order):
    import chdb

    with chdb_session(order) as opened:
        opened.query("CREATE DATABASE bench ENGINE = Atomic")
        opened.query("USE bench")
        for table, columns in order["tables"]:
            files = f"file('{order['folder']}/{table}/*.parquet', 'Parquet')"
            # A sorting key takes no columns that could be NULL.
            keys = ", ".join(f"assumeNotNull({column}) AS {column}" for column in columns)
            opened.query(
                f"CREATE TABLE {table} ENGINE = MergeTree ORDER BY ({', '.join(columns)}) "
                f"AS SELECT * REPLACE ({keys}) FROM {files}"
            )
            opened.query(f"OPTIMIZE TABLE {table} FINAL")
        ask = chdb_ask(opened, order["threads"])
        measure(order, f"chDB {chdb.__version__} loaded, MergeTree", ask)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def roapi(order, loaded):
    from importlib.metadata import version

    name = f"ROAPI {version('roapi')} {'loaded' if loaded else 'on the files'}"
    http_port, postgres_port = free_port(), free_port()
    command = [
        str(Path(sys.executable).with_name("roapi")),
        f"--addr-http=127.0.0.1:{http_port}",
        f"--addr-postgres=127.0.0.1:{postgres_port}",
    ]
    memory = str(loaded).lower()
    for table, _ in order["tables"]:
        files = f"{order['folder']}/{table}/"
        option = f"{table}={files},format=parquet,use_memory_table={memory}"
        command.append(f"--table={option}")
    # Into a file, because a pipe that nobody reads fills up and stops the server.
    log = Path(order["folder"]) / "roapi.log"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr) as server,
    ):
        try:
            connection = None
            deadline = time.monotonic() + 600
            while connection is None:
                try:
                    socket.create_connection(("127.0.0.1", http_port), 1).close()
                    connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=600)
                except OSError:
                    if server.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(log.read_text()[-400:]) from None
                    time.sleep(0.05)

            def ask(sql):
                connection.request("POST", "/api/sql", sql)
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    raise RuntimeError(body.decode()[:400])
                return [list(row.values()) for row in json.loads(body, parse_float=str)]

            measure(order, name, ask)
        except RuntimeError as error:
            for case in order["cases"]:
                failed = {"case": case["name"], "rows": [], "error": str(error)}
                print(json.dumps({"engine": name, "runs": 0, "median_us": 0, "p99_us": 0} | failed))
        finally:
            server.terminate()


def main():
    order = json.loads(Path(sys.argv[1]).read_text())
    duckdb_files(order)
    chdb_files(order)
    roapi(order, loaded=False)
    if order["load"]:
        duckdb_loaded(order)
        chdb_loaded(order)
        roapi(order, loaded=True)


main()
