"""Bringing a database to the schema: at once from many processes, without a lock where nothing is to be done."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from order_service.embedded import Postgres
from order_service.store.migrate import (
    _ADVISORY_LOCK,
    SchemaMismatch,
    check_schema,
    engine_for,
    head,
    migrate,
    schema_version,
)
from order_service.store.schema import revisions

_MIGRATE_IN_TEN_PROCESSES = """
import asyncio, os, sys
from order_service.store.migrate import migrate

children = []
for _ in range(10):
    pid = os.fork()
    if pid == 0:
        asyncio.run(migrate(sys.argv[1]))
        os._exit(0)
    children.append(pid)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))
"""


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    """The address of a database without any table."""
    name = f"empty_{secrets.token_hex(6)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


def _migrate_in_ten_processes(dsn: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MIGRATE_IN_TEN_PROCESSES, dsn], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


async def test_ten_processes_may_migrate_an_empty_database_at_once(empty: str) -> None:
    _migrate_in_ten_processes(empty)
    assert await schema_version(empty) == head()
    await check_schema(empty)


async def test_ten_processes_may_migrate_an_old_database_at_once_and_its_rows_stay(empty: str) -> None:
    old = Config()
    old.set_main_option("script_location", "order_service:migrations")
    engine = engine_for(empty)

    def to_the_first(connection: Connection) -> None:
        old.attributes["connection"] = connection
        command.upgrade(old, revisions()[0])

    async with engine.begin() as connection:
        await connection.run_sync(to_the_first)
    await engine.dispose()
    assert await schema_version(empty) == revisions()[0] != head()
    raw = await asyncpg.connect(empty)
    await raw.execute(
        "insert into idempotency_keys (principal, route, key, fingerprint, order_id, decision_id, "
        "asked_kind, asked_number, asked_unchanged, busy_until) values "
        "('p', 'r', 'k', '', gen_random_uuid(), gen_random_uuid(), 'done', 0, false, now())"
    )
    _migrate_in_ten_processes(empty)
    await check_schema(empty)
    assert await raw.fetchval("select key from idempotency_keys") == "k"
    await raw.close()


async def test_a_database_at_the_newest_schema_is_left_alone_without_a_lock(empty: str) -> None:
    await migrate(empty)
    other = await asyncpg.connect(empty)
    await other.execute("select pg_advisory_lock($1)", _ADVISORY_LOCK)
    await migrate(empty)
    await other.close()


async def test_an_empty_database_is_told_apart_and_the_command_is_named(empty: str) -> None:
    assert await schema_version(empty) is None
    with pytest.raises(SchemaMismatch, match=r"run `order-service migrate`\.$"):
        await check_schema(empty)


async def test_a_newer_schema_is_refused_in_one_sentence(empty: str) -> None:
    await migrate(empty)
    connection = await asyncpg.connect(empty)
    await connection.execute("update alembic_version set version_num = '9999_later'")
    await connection.close()
    for attempt in (check_schema, migrate):
        with pytest.raises(SchemaMismatch) as refused:
            await attempt(empty)
        assert str(refused.value) == (
            f"The database is at schema 9999_later, which this program ({head()}) does not know: "
            "start a newer release of the service."
        )


async def test_the_epoch_of_the_log_rises_once_when_the_data_has_moved_to_another_cluster(empty: str) -> None:
    await migrate(empty)
    connection = await asyncpg.connect(empty)
    assert await connection.fetchval("select epoch from log_epoch") == 1
    await connection.execute("update log_epoch set system_identifier = 7")
    await migrate(empty)
    await migrate(empty)
    assert await connection.fetchval("select epoch from log_epoch") == 2
    await connection.close()


def test_the_revisions_named_by_files_are_those_that_the_migrations_know() -> None:
    config = Config()
    config.set_main_option("script_location", "order_service:migrations")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == head()
    assert [script.revision for script in scripts.walk_revisions()][::-1] == list(revisions())
