"""Questions to the database that arrive while one is under way go together into the next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K")
R = TypeVar("R")
V = TypeVar("V")

MOST_WAITING = 4096
"""Keys that wait to be asked for. The requests let in are fewer; this is for a database that hangs."""


class Gather(Generic[K, R, V]):
    """Asks for many keys by one statement at a time: ``ask`` gives the rows that there are, ``read`` makes a value.

    An answer is of some moment after its question was put. A row that cannot be read is a fault for those who asked for
    it, not for their neighbours. Nobody's going away takes anything from the others. At most ``most_waiting`` keys
    wait to be asked for. Make it inside the running loop.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[K]], Awaitable[Mapping[K, R]]],
        read: Callable[[R], V],
        *,
        limit: int = 64,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._ask = ask
        self._read = read
        self._limit = limit
        self._most_waiting = most_waiting
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._worker: asyncio.Task[None] | None = None

    async def __call__(self, key: K) -> V | None:
        """The value of this key, None if there is none; raises what the statement raises.

        One key more than may wait is a ``ConnectionError``.
        """
        if len(self._waiting) >= self._most_waiting and key not in self._waiting:
            raise ConnectionError("Too many questions wait for the database.")
        answer: asyncio.Future[V | None] = self._loop.create_future()
        self._waiting.setdefault(key, []).append(answer)
        if self._worker is None or self._worker.done():
            self._worker = self._loop.create_task(self._work())
        return await answer

    async def close(self) -> None:
        """Wait for what is under way; nothing may be asked afterwards."""
        if self._worker is not None:
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        while self._waiting:
            batch = {key: self._waiting.pop(key) for key in list(self._waiting)[: self._limit]}
            try:
                found = await self._ask(list(batch))
            except BaseException as error:
                told = error if isinstance(error, Exception) else ConnectionError("the question was cut off")
                for answers in batch.values():
                    _fail(answers, told)
                if not isinstance(error, Exception):
                    raise
            else:
                for key, answers in batch.items():
                    self._tell(answers, found.get(key))

    def _tell(self, answers: list[asyncio.Future[V | None]], row: R | None) -> None:
        try:
            value = None if row is None else self._read(row)
        except Exception as error:
            _fail(answers, error)
            return
        for answer in answers:
            if not answer.done():
                answer.set_result(value)


def _fail(answers: list[asyncio.Future[V | None]], error: Exception) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)
