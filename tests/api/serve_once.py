"""A process that serves a recorder whose answers are slow: what the tests of starting and stopping start."""

from __future__ import annotations

import asyncio
import sys

import structlog
import uvloop

from order_service.api.app import create_app
from order_service.api.server import Limits, serve
from order_service.core.messages import Command
from order_service.requests import Ask, Reply
from order_service.signals import Signals
from tests.api.recorder import BODY, Recorder


class SlowRecorder(Recorder):
    """Takes as long over a command as the reason tells, in seconds."""

    async def command(self, ask: Ask, order_id: str, message: Command) -> Reply:
        await asyncio.sleep(float(getattr(message, "reason", None) or 0))
        print("worked", flush=True)
        return Reply(200, BODY, 3)


async def main(drain_s: float, graceful_s: int) -> None:
    orders = SlowRecorder()

    def draining() -> None:
        orders.ready = False
        print("draining", flush=True)

    app = create_app(orders)
    limits = Limits(drain_s=drain_s, graceful_s=graceful_s)
    await serve(
        app,
        "127.0.0.1",
        0,
        signals=Signals(),
        limits=limits,
        draining=draining,
        started=lambda server: print(server.port, flush=True),
    )
    print("served", flush=True)


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    uvloop.run(main(float(sys.argv[1]), int(sys.argv[2])))
