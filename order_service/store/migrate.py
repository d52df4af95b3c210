"""Brings the database to the schema of this program; safe to start in many processes at once."""

from __future__ import annotations

import asyncio

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from order_service.store.schema import SchemaMismatch, check_schema, head, refuse_unknown, schema_version
from order_service.store.statements import connect_one, execute

__all__ = ["SchemaMismatch", "check_schema", "engine_for", "head", "migrate", "schema_version"]

_ADVISORY_LOCK = 7_203_118_264_055_117
_LOCK_TIMEOUT = "5s"
_ATTEMPTS = 5


async def migrate(dsn: str) -> None:
    """Bring the database to the newest schema; without a lock where it is there already."""
    current = await schema_version(dsn)
    refuse_unknown(current)
    if current != head():
        await _upgrade(dsn)
    await _settle_epoch(dsn)


def engine_for(dsn: str) -> AsyncEngine:
    """SQLAlchemy's view of the database; it is used for migrations only."""
    url = make_url(dsn.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql+asyncpg")
    return create_async_engine(url, poolclass=NullPool)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "order_service:migrations")
    return config


async def _upgrade(dsn: str) -> None:
    """One transaction under the advisory lock; a lock that is held too long by a running query is asked for again."""
    engine = engine_for(dsn)
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with engine.begin() as connection:
                    # Waiting for a twin's migration is fine; waiting for a table's lock would hold up all its readers.
                    await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
                    await connection.execute(text(f"set local lock_timeout = '{_LOCK_TIMEOUT}'"))
                    await connection.run_sync(_upgrade_with)
                return
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != "55P03" or attempt == _ATTEMPTS:
                    raise
                await asyncio.sleep(attempt)
    finally:
        await engine.dispose()


def _upgrade_with(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def _settle_epoch(dsn: str) -> None:
    """Raise the log's epoch when the data has moved to another cluster, whose counter of transactions is another."""
    connection = await connect_one(dsn)
    try:
        await execute(connection, "settle_epoch")
    finally:
        await connection.close()
