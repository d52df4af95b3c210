"""The partners under test: the sandbox as a process, or whatever the environment points at."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from partner_rig import Caller, Sandbox, partners_at


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for all tests that do not kill it."""
    process = Sandbox(tmp_path_factory.mktemp("sandbox"))
    yield process.start()
    process.close()


@pytest.fixture
def own_sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox of this test alone, to be killed at will."""
    process = Sandbox(tmp_path / "sandbox")
    yield process.start()
    process.close()


@pytest.fixture(scope="session")
def bench_partners_url() -> Iterator[str]:
    """The cheap partners that `order-service bench` measures with."""
    command = [sys.executable, "-m", "order_service.bench.partners", "--die-with-parent"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()


TOLD = os.environ.get("ORDER_SERVICE_TEST_PARTNERS_URL")


@pytest.fixture(scope="session", params=["told"] if TOLD else ["sandbox", "bench"])
def partners_url(request: pytest.FixtureRequest) -> str:
    """Where the contract suite goes: ORDER_SERVICE_TEST_PARTNERS_URL, else the sandbox and the bench's partners."""
    if TOLD:
        return TOLD
    if request.param == "bench":
        url: str = request.getfixturevalue("bench_partners_url")
        return url
    sandbox: Sandbox = request.getfixturevalue("sandbox")
    return sandbox.url


def _calling(url: str) -> Iterator[Caller]:
    async def opened() -> Caller:
        return Caller(runner, partners_at(url))

    with asyncio.Runner() as runner:
        caller = runner.run(opened())
        yield caller
        runner.run(caller.partners.close())


@pytest.fixture
def call(partners_url: str) -> Iterator[Caller]:
    """Calls to the partners of the contract suite."""
    yield from _calling(partners_url)


@pytest.fixture
def to_sandbox(sandbox: Sandbox) -> Iterator[Caller]:
    """Calls to the shared sandbox."""
    yield from _calling(sandbox.url)
