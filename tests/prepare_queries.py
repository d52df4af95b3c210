"""`python -m tests.prepare_queries`: every named query of the service, prepared on the real schema by a real server."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from order_service.embedded import LauncherError, Postgres
from order_service.store.migrate import migrate
from order_service.store.queries import FOLDER, parts_of, query


async def faults(dsn: str) -> list[str]:
    """What the server says against a query, one line each."""
    connection = await asyncpg.connect(dsn)
    found = []
    for name in sorted(path.stem for path in FOLDER.glob("*.sql")):
        for parts in _choices(parts_of(name)):
            try:
                await connection.prepare(query(name, parts).sql)
            except asyncpg.PostgresError as error:
                found.append(f"{name}.sql, {'whole' if parts is None else sorted(parts)}: {error}")
    await connection.close()
    return found


def _choices(parts: set[str]) -> Iterator[frozenset[str] | None]:
    """The whole query; each part alone, and all but it. What belongs to an order stands in all that write one."""
    yield None
    for one in sorted(parts):
        yield frozenset({one, "order"})
        yield frozenset(parts - {one} | {"order"})
    if parts:
        yield frozenset({"ended"})


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
