"""Which requests are let in while the process is busy: those that end an order's story before those that begin one.

| rank | requests | let in while fewer are under way than |
|---|---|---|
| keep | pay, cancel | twice the limit |
| change | every other write to an order, reading one order and its history | one and a half times the limit |
| create | new orders | the limit |
| list | the orders of a user | three quarters of the limit |

What is not let in is told so by a few bytes, before its body is read or the framework knows of it. A customer who has
an order must be able to pay or cancel it, and what cannot be placed now can be placed in a moment; so the customer who
is in goes before the one at the door. Health, metrics and documentation are never turned away, and are not counted.

The limit finds itself: it shrinks while the event loop comes late or commits wait, and grows while it is used and
neither does. A process that waits for slow partners is not busy, and may have many requests under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from order_service import metrics

KEEP, CHANGE, CREATE, LIST = range(4)
NAMES = ("keep", "change", "create", "list")
SHARES = (2.0, 1.5, 1.0, 0.75)
"""Of the limit, by rank."""

LEAST, MOST = 256, 512
"""The limit's bounds, in requests under way; it starts at the upper one. A crowd that comes once and goes is let in."""

TICK_S = 0.1
LATE_S = 0.08
"""An event loop that comes so late, or commits that wait so long, say that more work is here than gets done."""

TICKS_IN_A_ROW = 10
"""A late tick is an accident, or a crowd that is soon served; a second of them is not. Then it shrinks every third."""

_ORDERS = b"/api/v1/orders"
_log = structlog.get_logger("order_service.api")


def rank_of(method: str, url: bytes) -> int | None:
    """The rank of a request; None for one that is never turned away."""
    if not url.startswith(_ORDERS):
        return None
    if method == "POST":
        if len(url) == len(_ORDERS):
            return CREATE
        return KEEP if url.endswith((b"/payment", b"/cancel")) else CHANGE
    if method == "GET" or method == "HEAD":
        return LIST if url.startswith(b"/user/", len(_ORDERS)) else CHANGE
    return CHANGE if method == "PUT" else None


class Admission:
    """Counts the requests under way in this process, and says whether one more may come in.

    ``waits_s`` tells how long the oldest commit has been waiting, in seconds.
    """

    def __init__(self, *, waits_s: Callable[[], float] = lambda: 0.0) -> None:
        self.busy = 0
        self.limit = float(MOST)
        self._waits_s = waits_s
        self._most_busy = 0
        self._late_ticks = 0
        self._turned_away = 0
        self._quiet_ticks = 0
        self._shedding = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = 0.0
        self._counters = [metrics.SHED.labels(name) for name in NAMES]

    def enter(self, rank: int) -> bool:
        """Whether a request of this rank may come in; then it counts until ``leave``."""
        if self.busy >= self.limit * SHARES[rank]:
            self._turned_away += 1
            self._counters[rank].inc()
            return False
        self.busy += 1
        if self.busy > self._most_busy:
            self._most_busy = self.busy
        return True

    def leave(self) -> None:
        """A request that came in is answered."""
        self.busy -= 1

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the event loop of the server from now on; asked again, it does nothing."""
        if self._loop is not loop:
            self._loop = loop
            self._due = loop.time() + TICK_S
            loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        assert self._loop is not None
        now = self._loop.time()
        self.look(max(now - self._due, self._waits_s()))
        self._due = now + TICK_S
        self._loop.call_at(self._due, self._tick)

    def look(self, late_s: float) -> None:
        """Set the limit anew, ten times a second; ``late_s`` is how late the process is, in seconds."""
        self._late_ticks = self._late_ticks + 1 if late_s > LATE_S else 0
        if self._late_ticks >= TICKS_IN_A_ROW:
            self._late_ticks -= 3
            self.limit = max(float(LEAST), min(self.limit, self._most_busy) * 0.9)
        elif late_s < LATE_S / 2 and self._most_busy >= self.limit * 0.8:
            self.limit = min(float(MOST), self.limit * 1.05)
        self._most_busy = self.busy
        metrics.BUSY.set(self.busy)
        metrics.BUSY_LIMIT.set(self.limit)
        self._tell()

    def _tell(self) -> None:
        """One line when shedding begins and one when it is over: refusals are many."""
        turned_away, self._turned_away = self._turned_away, 0
        if turned_away:
            self._quiet_ticks = 0
            if not self._shedding:
                self._shedding = True
                _log.warning("shedding_began", busy=self.busy, limit=round(self.limit))
        elif self._shedding:
            self._quiet_ticks += 1
            if self._quiet_ticks >= 10 / TICK_S:
                self._shedding = False
                _log.info("shedding_ended", limit=round(self.limit))
