"""One stack of the torture for the tests of a file: servers, partners, and a fork server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from order_service.torture.stack import Stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A running stack without replicas."""
    with Stack() as running:
        yield running
