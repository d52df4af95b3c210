"""Brings the database to the schema of this program; safe to start in many processes at once."""

from __future__ import annotations

import asyncio
from functools import cache

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from order_service.store.queries import query

_ADVISORY_LOCK = 7_203_118_264_055_117
_LOCK_TIMEOUT = "5s"
_ATTEMPTS = 5


class SchemaMismatch(Exception):
    """The database has a schema that this program does not know; the message says what to do."""


async def migrate(dsn: str) -> None:
    """Bring the database to the newest schema; without a lock where it is there already."""
    current = await schema_version(dsn)
    _refuse_unknown(current)
    if current != head():
        await _upgrade(dsn)
    await _settle_epoch(dsn)


async def schema_version(dsn: str) -> str | None:
    """The revision of the database, None when it is empty."""
    connection = await asyncpg.connect(dsn)
    try:
        if not await connection.fetchval("select to_regclass('alembic_version') is not null"):
            return None
        version: str | None = await connection.fetchval("select version_num from alembic_version")
        return version
    finally:
        await connection.close()


async def check_schema(dsn: str) -> None:
    """Raise ``SchemaMismatch`` unless the database has exactly the schema of this program."""
    current = await schema_version(dsn)
    _refuse_unknown(current)
    if current != head():
        raise SchemaMismatch(
            f"The database is at schema {current or 'none'}, this program needs {head()}: run `order-service migrate`."
        )


@cache
def head() -> str:
    """The newest revision this program knows."""
    newest = _scripts().get_current_head()
    assert newest is not None
    return newest


def engine_for(dsn: str) -> AsyncEngine:
    """SQLAlchemy's view of the database; it is used for migrations only."""
    url = make_url(dsn.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql+asyncpg")
    return create_async_engine(url, poolclass=NullPool)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "order_service:migrations")
    return config


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _refuse_unknown(current: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if current is not None and current not in known:
        raise SchemaMismatch(
            f"The database is at schema {current}, which this program ({head()}) does not know: "
            "start a newer release of the service."
        )


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
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(query("settle_epoch").sql)
    finally:
        await connection.close()
