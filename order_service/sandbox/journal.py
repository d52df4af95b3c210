"""The sandbox's memory: one append-only file, written before any reply, read again at start.

Every accepted write is one line: what changed, which effect the ledger lists, and the answer to repeat
for the same key. The state is nothing but the lines applied in order, so a process killed at any moment
comes back with everything it ever answered for.
"""

import fcntl
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from order_service.sandbox.contract import Cart, Item

EffectKind: TypeAlias = Literal["reserve", "release", "commit", "clear_cart", "charge", "decline", "void", "refund"]
PaymentStatus: TypeAlias = Literal[
    "succeeded", "processing", "requires_action", "requires_capture", "declined", "voided"
]
RefundStatus: TypeAlias = Literal["succeeded", "pending", "failed"]


class _Change(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """One step of the state; replaying all of them rebuilds it."""


class Held(_Change, frozen=True):
    """A reservation took its items."""

    reservation_id: str
    order_id: str
    items: tuple[Item, ...]


class LetGo(_Change, frozen=True):
    """A reservation was released, or will never be made if it was not known."""

    reservation_id: str


class Gone(_Change, frozen=True):
    """The goods of a reservation have left."""

    reservation_id: str


class TurnedAway(_Change, frozen=True):
    """A reserve of this order met the flaky product and got 503."""

    order_id: str


class StockSet(_Change, frozen=True):
    """Somebody said how many pieces are on hand."""

    product_id: str
    quantity: int


class CartSet(_Change, frozen=True):
    """Somebody filled a cart."""

    user_id: str
    cart: Cart


class CartTaken(_Change, frozen=True):
    """The ordered quantities left a cart."""

    user_id: str
    items: tuple[Item, ...]


class PaymentMade(_Change, frozen=True):
    """A payment came to be. `settles_at` (epoch seconds) is set while it is processing."""

    payment_id: str
    order_id: str
    reference: str
    amount: int
    currency: str
    token: str
    key: str
    status: PaymentStatus
    settles_at: float | None = None


class PaymentMoved(_Change, frozen=True):
    """A payment reached another status."""

    payment_id: str
    status: PaymentStatus


class ReferenceVoided(_Change, frozen=True):
    """A reference no payment is known for will never charge."""

    reference: str


class RefundMade(_Change, frozen=True):
    """A refund was answered. `settles_at` (epoch seconds) and its `key` are set while it is pending."""

    payment_id: str
    refund_id: str
    reference: str
    amount: int
    status: RefundStatus
    settles_at: float | None = None
    key: str = ""


class RefundMoved(_Change, frozen=True):
    """A pending refund was done, or failed after all."""

    payment_id: str
    reference: str
    status: RefundStatus


Change: TypeAlias = (
    Held
    | LetGo
    | Gone
    | TurnedAway
    | StockSet
    | CartSet
    | CartTaken
    | PaymentMade
    | PaymentMoved
    | ReferenceVoided
    | RefundMade
    | RefundMoved
)


class Effect(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One line of the public ledger, but for `seq` and `at`, which the journal gives it.

    `reference` is the reservation id for goods, our reference for payments and refunds. `order_id` is
    null only for the void of a reference that was never seen.
    """

    kind: EffectKind
    key: str
    order_id: str | None = msgspec.field(name="orderId")
    reference: str | None = None
    items: tuple[Item, ...] | None = None
    amount: int | None = None


class Remembered(msgspec.Struct, frozen=True):
    """The answer that the same key and bytes get for ever."""

    scope: str
    digest: str
    status: int
    body: str


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the file."""

    at: datetime
    change: Change | None = None
    effect: Effect | None = None
    reply: Remembered | None = None


class JournalDamaged(Exception):
    """A line in the middle of the file cannot be read: somebody else wrote to it."""


class JournalBusy(Exception):
    """Another process has the journal of this directory open."""


class Journal:
    """The open file. `append` returns only when the operating system has the whole line."""

    def __init__(self, path: Path) -> None:
        """Open or create the file and take it for this process alone."""
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as busy:
            os.close(self._file)
            raise JournalBusy(str(path)) from busy
        self._end = 0
        self._encoder = msgspec.json.Encoder()

    def replay(self) -> Iterator[Entry]:
        """Yield every whole line; cut off a last one that a kill tore."""
        decoder = msgspec.json.Decoder(Entry)
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break
                try:
                    yield decoder.decode(line)
                except msgspec.DecodeError as fault:
                    raise JournalDamaged(f"{self._path}, line {number}: {fault}") from fault
                self._end += len(line)
        os.ftruncate(self._file, self._end)

    def append(self, entry: Entry) -> None:
        """Add one line. If the disk refuses, the file is as before and the error goes up."""
        line = self._encoder.encode(entry) + b"\n"
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._end += len(line)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._file)
