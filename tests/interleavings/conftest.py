"""The stage, once for all tests of a file: one database, one event loop in which the time of replicas stands still."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest
from structlog.testing import LogCapture

from order_service.embedded import Postgres
from tests.interleavings.loop import HeldLoop
from tests.interleavings.stage import Stage, hooked, partners

T = TypeVar("T")


class Theatre:
    """The stage, and the loop it lives in."""

    def __init__(self, runner: asyncio.Runner, stage: Stage) -> None:
        self._runner = runner
        self.stage = stage

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run this to its end."""
        return self._runner.run(work)


@pytest.fixture(scope="module")
def theatre(postgres: Postgres, template_database: str) -> Iterator[Theatre]:
    """Two replicas that are driven, on a database of their own."""
    name = f"test_{secrets.token_hex(6)}"
    database = postgres.create_database(name, template=template_database)
    log = LogCapture()
    with asyncio.Runner(loop_factory=HeldLoop) as runner, hooked(log):
        stack = AsyncExitStack()

        async def opened() -> Stage:
            stage = Stage(await stack.enter_async_context(partners()), log)
            await stage.open(stack, database)
            return stage

        yield Theatre(runner, runner.run(opened()))
        runner.run(stack.aclose())
    postgres.drop_database(name)
