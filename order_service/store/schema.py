"""Which schema the database has, and whether this program knows it; cheap to import, unlike what migrates."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from order_service.store.statements import connect_one, fetchval

_VERSIONS = Path(__file__).parent.parent / "migrations" / "versions"


class SchemaMismatch(Exception):
    """The database has a schema that this program does not know; the message says what to do."""


@cache
def revisions() -> tuple[str, ...]:
    """The revisions this program knows, oldest first: each is named as its file, and files are numbered."""
    return tuple(sorted(path.stem for path in _VERSIONS.glob("[0-9]*.py")))


def head() -> str:
    """The newest revision this program knows."""
    return revisions()[-1]


async def schema_version(dsn: str) -> str | None:
    """The revision of the database, None when it is empty."""
    connection = await connect_one(dsn)
    try:
        if not await fetchval(connection, "has_schema"):
            return None
        version: str | None = await fetchval(connection, "schema_version")
        return version
    finally:
        await connection.close()


async def check_schema(dsn: str) -> None:
    """Raise ``SchemaMismatch`` unless the database has exactly the schema of this program."""
    current = await schema_version(dsn)
    refuse_unknown(current)
    if current != head():
        raise SchemaMismatch(
            f"The database is at schema {current or 'none'}, this program needs {head()}: run `order-service migrate`."
        )


def refuse_unknown(current: str | None) -> None:
    """Raise ``SchemaMismatch`` where the database is ahead of this program."""
    if current is not None and current not in revisions():
        raise SchemaMismatch(
            f"The database is at schema {current}, which this program ({head()}) does not know: "
            "start a newer release of the service."
        )
