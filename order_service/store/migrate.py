"""Brings the database to the schema of this program; safe to start in many processes at once."""

from __future__ import annotations


class SchemaMismatch(Exception):
    """The database has a schema that this program does not know; the message says what to do."""


async def migrate(dsn: str) -> None:
    """Bring the database to the newest schema; without a lock where it is there already."""
    raise NotImplementedError


async def schema_version(dsn: str) -> str | None:
    """The revision of the database, None when it is empty."""
    raise NotImplementedError


async def check_schema(dsn: str) -> None:
    """Raise ``SchemaMismatch`` unless the database has exactly the schema of this program."""
    raise NotImplementedError
