"""Two bounds on what one partner is asked while it is in trouble: a circuit breaker, and a budget for repeats.

| partner | what is done |
|---|---|
| answers | every call is sent |
| ``FAILURES`` exchanges in a row settle nothing | the breaker opens: nothing is sent but one probe at a time |
| a probe fails | the next one after a pause, a quarter second first, two seconds at most |
| anything is answered | the breaker closes: everything is sent |
| answers some calls only | the breaker stays closed; the budget keeps repeats to a fifth of all calls |

A call that is not sent has not been tried: it is owed as before, with the same key, and its first send is still to
come. One breaker and one budget per partner and process; nothing of them is stored.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import structlog

from order_service import metrics

FAILURES = 10
"""In a row, with nothing answered in between: one product or one order that is never answered does not get there."""

PROBE_S = 2.0
"""A probe that has no answer by then keeps the next one back no longer: a network that drops packets tells nothing."""

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 2.0
FAIR_DEADLINE_S = 1.0
"""An exchange that was given less time than this says nothing about the partner when its time is up."""

TOLD_AFTER_S = 5.0
"""Nobody asks a partner on a quiet day: a failure that old says nothing about the present."""

REPEATS_PER_CALL = 0.2
REPEATS_PER_S = 10.0
REPEATS_AT_ONCE = 100.0

log = structlog.get_logger("partners")


class Breaker:
    """Whether a partner is asked at all; ``enter`` before an exchange, ``answered`` or ``failed`` after it."""

    def __init__(self, partner: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.partner = partner
        self.open = False
        self._clock = clock
        self._failures = 0
        self._answered_at = float("-inf")
        self._failed_at = float("-inf")
        self._next_probe = 0.0
        self._probe: float | None = None
        self._pause_s = FIRST_PAUSE_S
        metrics.BREAKER_OPEN.labels(partner).set(0)

    def enter(self) -> float | None:
        """The moment this exchange begins, or None if it must not be made."""
        now = self._clock()
        if self.open:
            if now < self._next_probe:
                return None
            self._next_probe = now + PROBE_S
            self._probe = now
        return now

    @property
    def shut(self) -> bool:
        """Whether nothing may be sent at this moment, not even a probe."""
        return self.open and self._clock() < self._next_probe

    @property
    def away(self) -> bool:
        """Whether the partner was found away, and that not long ago."""
        return self.open and self._clock() - self._failed_at < TOLD_AFTER_S

    def answered(self, began: float) -> None:
        """The exchange that began then was answered, and be it with a refusal."""
        self._answered_at = self._clock()
        self._failures = 0
        if self.open:
            self.open, self._probe = False, None
            metrics.BREAKER_OPEN.labels(self.partner).set(0)
            log.info("breaker_closed", partner=self.partner)

    def failed(self, began: float, why: str, *, timeout: bool = False) -> None:
        """The exchange that began then had no answer, or one that says: not now.

        Where others were answered while this one waited in vain, the call is slow, not the partner.
        """
        if timeout and self._answered_at >= began:
            return
        self._failed_at = now = self._clock()
        self._failures += 1
        if not self.open and self._failures >= FAILURES:
            self.open, self._next_probe, self._pause_s = True, now, FIRST_PAUSE_S
            metrics.BREAKER_OPEN.labels(self.partner).set(1)
            log.warning("breaker_opened", partner=self.partner, failures=self._failures, reason=why)
        elif self._probe == began:
            self._probe = None
            pause_s = self._pause_s * random.uniform(0.5, 1)  # noqa: S311 - replicas should not probe in step
            self._next_probe = now + pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


class RetryBudget:
    """How many calls may be repeats: a fifth of all, and a few each second, so that a quiet system repeats at once."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = REPEATS_AT_ONCE
        self._counted_at = clock()

    def first(self) -> None:
        """A call is sent for the first time, which pays for a part of a repeat."""
        self._left = min(REPEATS_AT_ONCE, self._left + REPEATS_PER_CALL)

    def again(self) -> bool:
        """Whether a repeat may be sent now; it is counted if so."""
        now = self._clock()
        self._left = min(REPEATS_AT_ONCE, self._left + (now - self._counted_at) * REPEATS_PER_S)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
