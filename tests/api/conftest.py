"""One server for the folder, fresh records for every test."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from order_service.api import examples
from order_service.api.app import create_app

from .recorder import Recorder
from .wire import Served


@pytest.fixture(scope="session")
def _recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="session")
def _served(_recorder: Recorder) -> Iterator[Served]:
    with Served(create_app(_recorder, body_timeout_s=2)) as served:
        yield served


@pytest.fixture
def orders(_recorder: Recorder) -> Recorder:
    _recorder.reset()
    return _recorder


@pytest.fixture
def api(_served: Served, orders: Recorder) -> Served:
    return _served


@pytest.fixture
def order() -> dict[str, Any]:
    """A complete order, free to be spoiled."""
    return copy.deepcopy(examples.ORDER)
