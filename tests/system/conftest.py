"""A whole system for each test that asks: real PostgreSQL and Kafka, the sandbox and the service as processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from order_service.embedded import Kafka
from tests.system.harness import System


@pytest.fixture
def system(database: str, kafka: Kafka, tmp_path: Path) -> Iterator[System]:
    """The service on a fresh database, a fresh topic and a fresh sandbox; everything ends with the test."""
    with System(database, kafka.bootstrap, tmp_path) as running:
        running.start_service()
        yield running
