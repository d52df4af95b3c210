"""An event loop in which a replica's time stands still: pauses end, and deadlines come, when the schedule says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

from tests.interleavings.seat import SEAT, Timer


class HeldLoop(asyncio.SelectorEventLoop):
    """Keeps the pauses and timeouts of seated tasks for the scheduler; the timers of sockets run as always."""

    def __init__(self) -> None:
        super().__init__()
        self.set_task_factory(_seated)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As always, unless a seated task wants to sleep or to be bounded in time."""
        seat = SEAT.get()
        kind = _KINDS.get(getattr(callback, "__qualname__", ""))
        if seat is None or seat.free or kind is None:
            return super().call_at(when, callback, *args, context=context)
        timer = Timer(when, callback, args, self, context, kind)
        seat.hold(timer)
        return timer


_KINDS = {
    "_set_result_unless_cancelled": "sleep",
    "Timeout._on_timeout": "deadline",
    "Waiter._give_up": "deadline",
}
"""What ``asyncio.sleep``, ``asyncio.timeout`` and who waits for an answer ask the loop for."""


def _seated(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
    context = options.get("context")
    seat = SEAT.get() if context is None else context.get(SEAT)
    task = asyncio.Task(work, loop=loop, **options)
    if seat is not None:
        seat.seats(task)
    return task
