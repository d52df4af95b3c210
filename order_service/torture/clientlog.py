"""What the clients were told, so that it can be held against the service in the end.

An answer that was given is a promise: the version it names exists for ever, the same key has the same bytes for ever,
and a key has one order. A request that never came to a final answer is a broken promise as well.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter

from msgspec import Struct

REMEMBERED = (200, 201, 402)
"""Final answers that the service keeps under their key, beside 409 for goods that were gone after all."""


class Asked(Struct):
    """One request under one key: where, with which bytes, and what is known of its answer by now."""

    method: str
    path: str
    body: bytes
    key: str
    bearer: str
    order_id: str | None = None
    status: int = 0
    digest: bytes = b""

    @property
    def ends_with_202(self) -> bool:
        """Whether "it is sent again" is all that there is to be answered."""
        return self.path.endswith("/retry")

    @property
    def settled(self) -> bool:
        """Whether a final answer came that must be repeated for ever."""
        return self.status != 0


class ClientLog:
    """All keys and acknowledged versions of a chapter, and every promise that was seen broken. From any thread."""

    def __init__(self) -> None:
        self.asked: dict[str, Asked] = {}
        self.unsettled: dict[str, Asked] = {}
        self.orders: set[str] = set()
        self.versions: dict[str, int] = {}
        self.broken: list[str] = []
        self.answers: Counter[int] = Counter()
        self._lock = threading.Lock()

    def told(self, asked: Asked, status: int, body: bytes, version: int | None, order_id: str | None) -> None:
        """An answer came to a write."""
        with self._lock:
            self.answers[status] += 1
            if order_id is not None:
                self.orders.add(order_id)
            if order_id is not None and version is not None:
                self.versions[order_id] = max(version, self.versions.get(order_id, 0))
            if order_id is not None and asked.order_id not in (None, order_id):
                self.broken.append(f"key {asked.key} has two orders, {asked.order_id} and {order_id}")
            asked.order_id = asked.order_id or order_id
            if status == 202 and not asked.ends_with_202:
                if asked.settled:
                    self.broken.append(f"key {asked.key} was answered {asked.status}, and 202 afterwards")
                else:
                    self.unsettled[asked.key] = asked
            elif remembered(status, body):
                self._settle(asked, status, body)
            else:
                self.unsettled.pop(asked.key, None)

    def _settle(self, asked: Asked, status: int, body: bytes) -> None:
        digest = hashlib.sha256(body).digest()
        self.unsettled.pop(asked.key, None)
        if not asked.settled:
            asked.status, asked.digest = status, digest
            self.asked[asked.key] = asked
        elif (asked.status, asked.digest) != (status, digest):
            self.broken.append(
                f"key {asked.key} of order {asked.order_id} was answered {asked.status}, and by other bytes ({status}) "
                f"later: {asked.method} {asked.path}"
            )

    def read(self, order_id: str, status: int, version: int | None) -> None:
        """An answer came to a question about an order that was acknowledged before."""
        with self._lock:
            self.answers[status] += 1
            if status == 404:
                self.broken.append(f"order {order_id} was acknowledged and is not there")
            if version is not None:
                self.versions[order_id] = max(version, self.versions.get(order_id, 0))

    def complain(self, sentence: str) -> None:
        """Something happened that must not."""
        with self._lock:
            self.broken.append(sentence)

    def forget(self) -> None:
        """A new chapter: all that was told has been looked at."""
        with self._lock:
            for kept in (self.asked, self.unsettled, self.orders, self.versions):
                kept.clear()


def remembered(status: int, body: bytes) -> bool:
    """Whether the service promises to repeat this answer."""
    return status in REMEMBERED or (status == 409 and b'"out-of-stock"' in body and b'"orderId"' in body)
