"""One healthy system, made once; tests work on copies of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from order_service.embedded import Kafka, Postgres
from tests.verify.base import Base, make_base, query

_NAME = "verify_base"
_NO_CHECKS = """
do $$
declare
    one record;
begin
    for one in select conrelid::regclass as owner, conname from pg_constraint
        where contype = 'c' and connamespace = 'public'::regnamespace
    loop
        execute format('alter table %s drop constraint %I', one.owner, one.conname);
    end loop;
end $$
"""


@pytest.fixture(scope="session")
def base(
    postgres: Postgres, kafka: Kafka, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Base]:
    """The healthy system, at rest."""
    dsn = postgres.create_database(_NAME, template=template_database)
    healthy = make_base(dsn, kafka.bootstrap, tmp_path_factory.mktemp("verify"))
    # What nobody could write must be written to see it found.
    query(dsn, _NO_CHECKS)
    yield healthy
    postgres.drop_database(_NAME)


@pytest.fixture
def copy(postgres: Postgres, base: Base) -> Iterator[str]:
    """A copy of the healthy system's database, to be spoilt."""
    name = f"verify_{secrets.token_hex(6)}"
    yield postgres.create_database(name, template=_NAME)
    postgres.drop_database(name)
