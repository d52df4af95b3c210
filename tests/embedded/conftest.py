"""Launchers as processes of their own, so that a test can kill one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from order_service.embedded import Postgres

REPOSITORY = Path(__file__).parents[2]

# Starts both servers, says what it started, and waits until it is told to stop.
_PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from order_service.embedded import Kafka, Postgres

signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
data_dir = Path(sys.argv[1])
with Postgres(data_dir) as postgres, Kafka(data_dir, prepare_next_boot=False) as kafka:
    print(json.dumps({"postgres": postgres.pid, "kafka": kafka.pid, "dsn": postgres.dsn(), "uid": os.getuid(),
                      "bootstrap": kafka.bootstrap}), flush=True)
    sys.stdin.readline()
"""


@dataclass(frozen=True)
class Launched:
    """A launcher with its two servers, as a process of its own in a process group of its own."""

    process: subprocess.Popen[str]
    facts: dict[str, Any]
    family: list[psutil.Process]

    def say_stop(self) -> int:
        """Let it stop its servers; its exit code."""
        self.process.communicate("stop\n", timeout=60)
        return self.process.returncode


Launch = Callable[..., Launched]


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Start a launcher, if asked with something before the command (`setpriv ...`) or another environment."""
    started: list[subprocess.Popen[str]] = []

    def start(data_dir: Path, *before: str, env: dict[str, str] | None = None) -> Launched:
        process = subprocess.Popen(
            [*before, sys.executable, "-c", _PROGRAM, str(data_dir)],
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
        yield Path(folder)


@pytest.fixture(scope="session")
def made_postgres() -> Iterator[Path]:
    """A data folder with a PostgreSQL that was made, started and stopped once."""
    with tempfile.TemporaryDirectory(prefix="order-service-test-", ignore_cleanup_errors=True) as folder:
        with Postgres(Path(folder)):
            pass
        yield Path(folder)


@pytest.fixture
def server(made_postgres: Path, data_dir: Path) -> Iterator[Postgres]:
    """A PostgreSQL of one test's own, as durable as in `make run`; on a copy, which is quicker than a new one."""
    shutil.copytree(made_postgres, data_dir, dirs_exist_ok=True)
    with Postgres(data_dir) as started:
        yield started
