"""One running system for all pages: their examples use users of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from order_service.embedded import Kafka, Postgres
from tests.system.harness import System

DATABASE = "test_of_the_documents"


@pytest.fixture(scope="session")
def system(
    postgres: Postgres, template_database: str, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """The service with shorter deadlines than usual, so that the examples of 202 need no long wait."""
    dsn = postgres.create_database(DATABASE, template=template_database)
    deadlines = {"REQUEST_DEADLINE": "3", "PARTNER_TIMEOUT": "3.3", "LEASE": "4"}
    folder: Path = tmp_path_factory.mktemp("system")
    with System(dsn, kafka.bootstrap, folder, **deadlines) as running:
        running.topic = "orders.events"  # as everywhere but in tests; nobody else uses it on this broker
        running.start_service()
        yield running
    postgres.drop_database(DATABASE)
