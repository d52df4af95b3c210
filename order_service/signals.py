"""What the operating system asks of a process, heard from the first moment of its loop to the last.

A signal that comes while the parts are still being started, or already being taken down, breaks off neither.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

STOP = (signal.SIGTERM, signal.SIGINT)
HAND_OVER = signal.SIGHUP
"""Stop, and leave the open connections to the process that takes this one's place; alone, the same as SIGTERM."""


class Signals:
    """Takes the signals that end a process; whoever serves is told of each, also of one that came before it served."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._asked: list[int] = []
        self._told: Callable[[int], None] | None = None
        for number in (*STOP, HAND_OVER):
            asyncio.get_running_loop().add_signal_handler(number, self._ask, number)

    def tell(self, told: Callable[[int], None]) -> None:
        """Call this with the number of each signal, those that have come already among them."""
        self._told = told
        for number in self._asked:
            told(number)

    def _ask(self, number: int) -> None:
        self._asked.append(number)
        self.stopping.set()
        if self._told is not None:
            self._told(number)
