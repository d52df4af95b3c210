"""One running system with AUTH=on for the folder; its keys are made by the command line, as an operator does."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from order_service.embedded import Kafka, Postgres
from tests.auth.issuer import Issuer
from tests.auth.shop import Shop
from tests.store.conftest import pytest_pyfunc_call

__all__ = ["pytest_pyfunc_call"]


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    """The identity provider that the shop of the folder trusts."""
    with Issuer() as running:
        yield running


@pytest.fixture(scope="session")
def shop(
    postgres: Postgres,
    template_database: str,
    kafka: Kafka,
    issuer: Issuer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shop]:
    """The system of the folder: tests keep apart by users and orders of their own."""
    name = f"auth_{secrets.token_hex(6)}"
    dsn = postgres.create_database(name, template=template_database)
    with Shop(dsn, kafka.bootstrap, tmp_path_factory.mktemp("auth"), **issuer.settings()) as running:
        running.start_service()
        yield running
    postgres.drop_database(name)
