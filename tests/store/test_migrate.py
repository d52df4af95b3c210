"""Bringing a database to the schema: at once from many processes, without a lock where nothing is to be done."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Iterator

import asyncpg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from order_service.embedded import Postgres
from order_service.store.migrate import _ADVISORY_LOCK, SchemaMismatch, check_schema, head, migrate, schema_version
from order_service.store.schema import revisions

_MIGRATE_FOUR_TIMES = """
import asyncio, sys
from order_service.store.migrate import migrate

async def main():
    await asyncio.gather(*[migrate(sys.argv[1]) for _ in range(4)])

asyncio.run(main())
"""


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    """The address of a database without any table."""
    name = f"empty_{secrets.token_hex(6)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


async def test_many_processes_may_migrate_at_once(empty: str) -> None:
    command = (sys.executable, "-c", _MIGRATE_FOUR_TIMES, empty)
    processes = [await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE) for _ in range(3)]
    errors = [(await process.communicate())[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, errors
    assert await schema_version(empty) == head()
    await check_schema(empty)


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
