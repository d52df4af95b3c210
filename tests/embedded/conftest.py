"""Servers of one test's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest
from launching import PROGRAM, REPOSITORY, Launch, Launched

from order_service.embedded import Postgres


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Start a launcher, if asked with something before the command (`setpriv ...`) or another environment."""
    started: list[subprocess.Popen[str]] = []

    def start(
        data_dir: Path,
        *before: str,
        env: dict[str, str] | None = None,
        servers: Sequence[str] = ("postgres", "kafka"),
    ) -> Launched:
        process = subprocess.Popen(
            [*before, sys.executable, "-c", PROGRAM, str(data_dir), *servers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env=dict(os.environ) if env is None else env,
            process_group=0,
        )
        started.append(process)
        assert process.stdout is not None
        facts = json.loads(process.stdout.readline())
        return Launched(process, facts, psutil.Process(process.pid).children(recursive=True))

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """An empty data folder, removed right after the test: pytest would keep each for three runs."""
    with tempfile.TemporaryDirectory(prefix="order-service-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


@pytest.fixture(scope="session")
def made_postgres() -> Iterator[Path]:
    """A data folder with a PostgreSQL that was made, started and stopped once."""
    with tempfile.TemporaryDirectory(prefix="order-service-test-", ignore_cleanup_errors=True) as folder:
        with Postgres(Path(folder), durable=False):
            pass
        yield Path(folder)


@pytest.fixture
def server(made_postgres: Path, data_dir: Path) -> Iterator[Postgres]:
    """A PostgreSQL of one test's own, on a copy of the data, which is quicker than making new data."""
    shutil.copytree(made_postgres, data_dir, dirs_exist_ok=True)
    with Postgres(data_dir, durable=False) as started:
        yield started


@pytest.fixture
def durable_server(made_postgres: Path, data_dir: Path) -> Iterator[Postgres]:
    """The same, as durable as in `make run`."""
    shutil.copytree(made_postgres, data_dir, dirs_exist_ok=True)
    with Postgres(data_dir) as started:
        yield started
