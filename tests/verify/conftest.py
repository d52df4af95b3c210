"""One healthy system, made once; tests work on copies of it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from order_service.embedded import Kafka, Postgres
from tests.verify.base import Base, make_base

_NAME = "verify_base"


@pytest.fixture(scope="session")
def base(
    postgres: Postgres, kafka: Kafka, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Base]:
    """The healthy system, at rest."""
    dsn = postgres.create_database(_NAME, template=template_database)
    yield make_base(dsn, kafka.bootstrap, tmp_path_factory.mktemp("verify"))
    postgres.drop_database(_NAME)


@pytest.fixture
def copy(postgres: Postgres, base: Base) -> Iterator[str]:
    """A copy of the healthy system's database, to be spoilt."""
    name = f"verify_{secrets.token_hex(6)}"
    yield postgres.create_database(name, template=_NAME)
    postgres.drop_database(name)
