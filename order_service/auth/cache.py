"""A bounded memory of what was found out a moment ago."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Fresh(Generic[K, V]):
    """Values that are believed for some seconds; beyond ``limit`` of them the oldest is forgotten."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: K) -> V | None:
        """The value, None if there is none that is still believed."""
        found = self._entries.get(name)
        if found is None:
            return None
        if found[0] <= self._clock():
            del self._entries[name]
            return None
        return found[1]

    def put(self, name: K, value: V, for_s: float) -> None:
        """Believe the value for so many seconds."""
        self._entries.pop(name, None)
        self._entries[name] = (self._clock() + for_s, value)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)
