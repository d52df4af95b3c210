"""What all tests share: one real PostgreSQL, one real Kafka, and a fresh database for each test that asks.

A server that cannot start fails the tests that need it: a skipped test would look like a passed one.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from order_service.embedded import Kafka, Postgres, ports

_TEMPLATE = "template_of_tests"


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much of what is drawn by chance is tried, and which."""
    parser.addoption("--bad-requests", type=int, default=5_000, help="requests with a fault each (tests/badinput)")
    parser.addoption("--schema-examples", type=int, default=20, help="examples per operation (tests/openapi)")
    parser.addoption("--expiry-runs", type=int, default=1_000, help="payments at the second of expiry (tests/expiry)")
    parser.addoption("--expiry-seed", type=int, default=1, help="when these are fired, by whom, with which token")
    parser.addoption("--preemptions", type=int, default=1, help="how often one of two actors is interrupted")
    parser.addoption("--schedule", help="the one schedule to run, as tests/interleavings prints it")
    parser.addoption("--stateful-runs", type=int, default=60, help="runs of the state machine (tests/stateful)")
    parser.addoption("--stateful-steps", type=int, default=40, help="steps of each of them")
    parser.addoption("--stateful-seed", type=int, default=1, help="brings its runs back, step by step")
    parser.addoption("--bad-seed", type=int, default=1, help="brings a run of tests/badinput back, number by number")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take longest is begun first: with several workers the last file is then a short one."""
    items.sort(key=lambda item: -max((float(mark.args[0]) for mark in item.iter_markers("timeout")), default=0))


@pytest.fixture(scope="session")
def servers_dir() -> Iterator[Path]:
    """The data folder of this run's servers, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="order-service-tests-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(servers_dir: Path) -> Iterator[Postgres]:
    """The one PostgreSQL of this run: as in production, except that it would not survive a power cut."""
    with Postgres(servers_dir, durable=False) as server:
        yield server
        server.stop("immediate")


@pytest.fixture(scope="session")
def kafka(servers_dir: Path) -> Iterator[Kafka]:
    """The one Kafka of this run. Tests that share it take topics and groups with names of their own.

    A test may put a proxy on `kafka.advertised_chaos_port`, forwarding to `kafka.chaos_port`, and tell its clients
    to connect to the proxy: all their traffic then goes through it.
    """
    with Kafka(servers_dir, advertise_chaos=ports.free_port(), prepare_next_boot=False) as server:
        yield server


@pytest.fixture(scope="session")
def template_database(postgres: Postgres) -> str:
    """The name of a database on which the migrations ran, never connected to again: copies of it are cheap."""
    dsn = postgres.create_database(_TEMPLATE)
    if importlib.util.find_spec("order_service.store.migrate") is not None:
        migrate = importlib.import_module("order_service.store.migrate").migrate
        asyncio.run(migrate(dsn))
    return _TEMPLATE


@pytest.fixture
def database(postgres: Postgres, template_database: str) -> Iterator[str]:
    """The address of a fresh database with all tables and no rows; gone after the test."""
    name = f"test_{secrets.token_hex(6)}"
    yield postgres.create_database(name, template=template_database)
    postgres.drop_database(name)
