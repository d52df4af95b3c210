"""`python -m tests.prepare_queries`: every named query of the service, prepared on the real schema by a real server."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

import asyncpg

from order_service.embedded import LauncherError, Postgres
from order_service.store.migrate import migrate
from order_service.store.queries import FOLDER, query


async def faults(dsn: str) -> list[str]:
    """What the server says against a query, one line each."""
    connection = await asyncpg.connect(dsn)
    found = []
    for name in sorted(path.stem for path in FOLDER.glob("*.sql")):
        try:
            await connection.prepare(query(name).sql)
        except asyncpg.PostgresError as error:
            found.append(f"{name}.sql: {error}")
    await connection.close()
    return found


def main() -> int:
    """0 if the server knows every table, column and type that the queries name."""
    with tempfile.TemporaryDirectory(prefix="order-service-queries-") as folder:
        try:
            with Postgres(Path(folder), durable=False) as server:
                asyncio.run(migrate(server.dsn()))
                found = asyncio.run(faults(server.dsn()))
        except LauncherError as error:
            found = [str(error)]
    for line in found:
        print(line, file=sys.stderr)
    if not found:
        print(f"Prepared {len(list(FOLDER.glob('*.sql')))} queries on the real schema")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
