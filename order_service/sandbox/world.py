"""The three partners together: their state, the ledger of effects, and the answers they remember."""

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from order_service.sandbox.carts import Carts
from order_service.sandbox.journal import Effect, Entry, Journal, Remembered
from order_service.sandbox.outcome import Outcome, refusal
from order_service.sandbox.payments import Payments
from order_service.sandbox.stock import Stock

JOURNAL_NAME = "sandbox.jsonl"


class _Listed(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where and when an effect stands in the ledger; the effect's own members follow."""

    seq: int
    at: datetime


class World:
    """All state of the sandbox. Every change goes through `settle`: journal first, then memory."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        """Open the directory and rebuild what was there. `clock` gives epoch seconds."""
        directory.mkdir(parents=True, exist_ok=True)
        self.stock = Stock()
        self.carts = Carts()
        self.payments = Payments()
        self._clock = clock
        self._ledger: list[bytes] = []
        self._replies: dict[str, Remembered] = {}
        self._journal = Journal(directory / JOURNAL_NAME)
        for entry in self._journal.replay():
            self._apply(entry)

    def now(self) -> float:
        """Epoch seconds."""
        return self._clock()

    def remembered(self, scope: str, body: bytes) -> Outcome | None:
        """Find the answer this scope got before; other bytes under it are refused."""
        reply = self._replies.get(scope)
        if reply is None:
            return None
        if reply.digest != _digest(body):
            return refusal(422, "idempotency-key-reused", "the key came with other bytes before")
        return Outcome(reply.status, msgspec.json.decode(reply.body), remember=False)

    def settle(self, outcome: Outcome, scope: str | None = None, body: bytes = b"") -> Outcome:
        """Write down what the outcome says and make it so; the answer may be sent after that."""
        reply = None
        if scope is not None and outcome.remember:
            answer = msgspec.json.encode(outcome.body).decode()
            reply = Remembered(scope, _digest(body), outcome.status, answer)
        if outcome.change is not None or outcome.effect is not None or reply is not None:
            at = datetime.fromtimestamp(self._clock(), UTC)
            entry = Entry(at, outcome.change, outcome.effect, reply)
            self._journal.append(entry)
            self._apply(entry)
        return outcome

    def settle_due(self) -> float | None:
        """Settle the payments and refunds whose time has come; tell the seconds to the next one."""
        waiting: list[float] = []
        for due, outcome in self.payments.settling():
            if due <= self._clock():
                self.settle(outcome)
            else:
                waiting.append(due)
        return max(0.0, min(waiting) - self._clock()) if waiting else None

    def ledger(self, after: int, limit: int | None = None) -> list[bytes]:
        """Give the effects with a higher `seq`, oldest first, each as JSON."""
        return self._ledger[after : None if limit is None else after + limit]

    def close(self) -> None:
        """Give the directory back."""
        self._journal.close()

    def _apply(self, entry: Entry) -> None:
        if entry.change is not None:
            self.stock.apply(entry.change)
            self.carts.apply(entry.change)
            self.payments.apply(entry.change)
        if entry.effect is not None:
            self._ledger.append(_listed(len(self._ledger) + 1, entry.at, entry.effect))
        if entry.reply is not None:
            self._replies[entry.reply.scope] = entry.reply


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _listed(seq: int, at: datetime, effect: Effect) -> bytes:
    head = msgspec.json.encode(_Listed(seq, at))
    return head[:-1] + b"," + msgspec.json.encode(effect)[1:]
