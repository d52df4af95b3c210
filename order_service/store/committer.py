"""Gathers decisions that arrive while a commit is under way into the next one, and sees each of them through.

| what happens | what is done |
|---|---|
| the order is locked by somebody | the entry is tried again alone, and holds nobody up |
| deadlock, serialization failure, lock or statement timeout | the same statement again, a few times |
| the database refuses the data of one entry | the batch is halved until that entry fails alone |
| the connection is lost, or no answer comes | the database is asked for the decision, by its id; not found proves
  nothing yet, as the statement may still run: the same decision again, alone, then asked once more |
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import asyncpg

from order_service.store.commit import Entry, Result, Verdict, commit_prepared
from order_service.store.rows import Prepared, prepare
from order_service.store.statements import fetch

_TRIES = 5
_FIRST_PAUSE_S = 0.01
_FIND_OUT_TRIES = 8
_ACQUIRE_TIMEOUT_S = 2.0
_AT_ONCE_ASIDE = 8
MOST_WAITING = 4096
"""Entries that wait for their statement. The requests let in are fewer; this is for a database that hangs."""

PATIENCE_S = 0.005
"""An entry that no request waits for goes with the next statement, or alone after this time."""

TRANSIENT = ("40P01", "40001", "55P03", "57014")
"""Deadlock, serialization failure, lock not available, statement timeout: rolled back, and likely to work next time."""

_AT_FAULT = ("21", "22", "23", "54")
_CONNECTION_GONE = ("08", "57P01", "57P02", "57P05", "25P03", "25P04")


T = TypeVar("T")


class OutcomeUnknown(ConnectionError):
    """The connection was lost while a commit was under way, and the database could not be asked what became of it."""


class _NotSent(ConnectionError):
    """No connection could be had, so nothing was written."""


class _Job:
    def __init__(
        self, prepared: Prepared, then: Callable[[Result], None] | None, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.prepared = prepared
        self.then = then
        self.since = time.monotonic()
        self.future: asyncio.Future[Result] = loop.create_future()

    def fail(self, error: Exception) -> None:
        if isinstance(error, asyncpg.PostgresError):
            # It may hold a whole row, and ends in logs.
            error.detail = None
        if not self.future.done():
            self.future.set_exception(error)

    def succeed(self, result: Result) -> None:
        try:
            if self.then is not None:
                self.then(result)
        except Exception as error:
            self.fail(error)
        if not self.future.done():
            self.future.set_result(result)


class Committer:
    """The way to commit: one statement at a time, of up to ``limit`` entries. Cancelling a waiter cancels nothing.

    Make it inside the running loop.
    ``observe`` is told how many entries each statement takes.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        *,
        limit: int = 64,
        most_waiting: int = MOST_WAITING,
        observe: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.observe = observe
        self._most_waiting = most_waiting
        self._loop = asyncio.get_running_loop()
        self._pool = pool
        self._limit = limit
        self._queue: list[_Job] = []
        self._worker: asyncio.Task[None] | None = None
        self._patient: asyncio.Task[None] | None = None
        self._aside: set[asyncio.Task[None]] = set()
        self._room_aside = asyncio.Semaphore(_AT_ONCE_ASIDE)
        self._closed = False

    async def commit(self, entry: Entry, *, then: Callable[[Result], None] | None = None) -> Result:
        """Apply one entry; raises when that is impossible, and nothing was written then.

        ``then`` is told the result first, also when whoever waits for it has been cancelled meanwhile.
        ``asyncpg.DataError`` and ``asyncpg.IntegrityConstraintViolationError`` say that the decision itself is at
        fault, any other ``asyncpg.PostgresError`` and ``ConnectionError`` that the database is in trouble. Only
        ``OutcomeUnknown`` leaves open whether the entry was written.
        """
        if self._closed:
            raise ConnectionError("The service is stopping.")
        if len(self._queue) >= self._most_waiting:
            raise ConnectionError("Too many commits wait for the database.")
        job = _Job(prepare(entry), then, self._loop)
        self._queue.append(job)
        if job.prepared.awaited:
            self._begin()
        elif self._patient is None or self._patient.done():
            self._patient = self._loop.create_task(self._begin_soon())
        return await job.future

    def waits_s(self) -> float:
        """How long the oldest entry has been waiting for its statement, in seconds."""
        return time.monotonic() - self._queue[0].since if self._queue else 0.0

    async def close(self) -> None:
        """Finish what was handed in; nothing may be handed in afterwards."""
        self._closed = True
        self._begin()
        while tasks := [t for t in (self._worker, self._patient, *self._aside) if t is not None and not t.done()]:
            await asyncio.wait(tasks)

    def _begin(self) -> None:
        if self._queue and (self._worker is None or self._worker.done()):
            self._worker = self._loop.create_task(self._work())

    async def _begin_soon(self) -> None:
        await asyncio.sleep(PATIENCE_S)
        self._begin()

    async def _work(self) -> None:
        while batch := self._take():
            await self._run(batch)

    def _take(self) -> list[_Job]:
        """The oldest entries, at most one of each order."""
        batch: dict[str, _Job] = {}
        rest: list[_Job] = []
        for job in self._queue:
            if len(batch) < self._limit and job.prepared.entry.order_id not in batch:
                batch[job.prepared.entry.order_id] = job
            else:
                rest.append(job)
        self._queue = rest
        return list(batch.values())

    async def _run(self, batch: list[_Job]) -> None:
        self.observe(len(batch))
        try:
            results = await self._execute([job.prepared for job in batch])
        except OutcomeUnknown:
            for job in batch:
                self._do_aside(job, self._find_out(job.prepared))
        except Exception as error:
            await self._failed(batch, error)
        else:
            for job, result in zip(batch, results, strict=True):
                if result.verdict is Verdict.LOCKED:
                    self._do_aside(job, self._again_alone(job.prepared, result))
                else:
                    job.succeed(result)

    async def _failed(self, batch: list[_Job], error: Exception) -> None:
        if not _data_is_at_fault(error):
            for job in batch:
                job.fail(error)
        elif len(batch) > 1:
            middle = len(batch) // 2
            await self._run(batch[:middle])
            await self._run(batch[middle:])
        elif isinstance(error, asyncpg.UniqueViolationError):
            # A rival took the order's number while we were writing: by now it can be seen, and has a name.
            self._do_aside(batch[0], self._alone(batch[0].prepared))
        else:
            batch[0].fail(error)

    def _do_aside(self, job: _Job, work: Coroutine[Any, Any, Result]) -> None:
        """See one entry through beside the others, so that it holds none of them up."""
        task = self._loop.create_task(self._settle(job, work))
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def _settle(self, job: _Job, work: Coroutine[Any, Any, Result]) -> None:
        try:
            async with self._room_aside:
                job.succeed(await work)
        except Exception as error:
            job.fail(error)

    async def _alone(self, one: Prepared) -> Result:
        try:
            [result] = await self._execute([one])
        except OutcomeUnknown:
            return await self._find_out(one)
        return result

    async def _again_alone(self, one: Prepared, result: Result) -> Result:
        for attempt in range(_TRIES):
            await _pause(attempt)
            result = await self._alone(one)
            if result.verdict is not Verdict.LOCKED:
                break
        return result

    async def _find_out(self, one: Prepared) -> Result:
        """What became of an entry whose commit was not answered; ends with it applied, refused, or unknown for good."""
        for attempt in range(_FIND_OUT_TRIES):
            await _pause(attempt + 1)
            try:
                result = await self._found(one) or await self._once_more(one)
            except (OutcomeUnknown, _NotSent):
                continue
            except asyncpg.PostgresError as error:
                if _data_is_at_fault(error):
                    raise
                continue
            if result.verdict is not Verdict.LOCKED:
                return result
        raise OutcomeUnknown("The connection was lost during a commit, and the database cannot be asked about it.")

    async def _once_more(self, one: Prepared) -> Result:
        try:
            [result] = await self._execute([one])
        except asyncpg.UniqueViolationError:
            found = await self._found(one)
            if found is None:
                raise
            return found
        if result.applied or result.verdict is Verdict.LOCKED:
            return result
        # The first statement may have come through between the question and the repeat: then it is our own doing.
        return await self._found(one) or result

    async def _found(self, one: Prepared) -> Result | None:
        values = _questions([one])
        [row] = await self._on_connection(lambda connection: fetch(connection, "find_decisions", **values))
        if not row["found"]:
            return None
        tokens = {call_id: one.tokens[call_id] for call_id in row["leases"]}
        return Result(Verdict.APPLIED, row["at"], tokens, one.after)

    async def _execute(self, batch: Sequence[Prepared]) -> list[Result]:
        """The statement, again after what is known to pass."""
        for attempt in range(_TRIES):
            try:
                return await self._on_connection(lambda connection: commit_prepared(connection, batch))
            except asyncpg.PostgresError as error:
                if error.sqlstate not in TRANSIENT or attempt == _TRIES - 1:
                    raise
            await _pause(attempt)
        raise AssertionError("the last try either returns or raises")

    async def _on_connection(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Work on a connection of the pool; one on which anything unexpected happened is thrown away."""
        try:
            connection = await self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_S)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise _NotSent(f"No connection to the database: {error or type(error).__name__}") from error
        in_order = False
        try:
            result = await work(connection)
            in_order = True
            return result
        except asyncpg.PostgresError as error:
            if (error.sqlstate or "").startswith(_CONNECTION_GONE):
                raise OutcomeUnknown(str(error)) from error
            in_order = error.sqlstate in TRANSIENT or _data_is_at_fault(error)
            raise
        except Exception as error:
            if _data_is_at_fault(error):
                raise
            raise OutcomeUnknown(str(error) or type(error).__name__) from error
        finally:
            if not in_order:
                # A connection that was lost has left the pool by itself.
                with suppress(asyncpg.InterfaceError):
                    connection.terminate()
            await self._pool.release(connection)


def _questions(batch: Sequence[Prepared]) -> dict[str, list[Any]]:
    """Where the traces of each decision would be: its version's log row, a call it ended, the key it bound."""
    asked: dict[str, list[Any]] = {
        name: [] for name in ("n", "decision_id", "order_id", "version", "call_id", "principal", "route", "key")
    }
    leases: list[tuple[int, str, int]] = []
    for n, one in enumerate(batch):
        entry, decision = one.entry, one.entry.decision
        ended = decision.closings[0].call_id if decision.closings else None
        key = entry.key
        scope = (None, None, None) if key is None else (key.principal, key.route, key.key)
        row = (n, entry.decision_id, entry.order_id, decision.state.order.version, ended, *scope)
        for values, value in zip(asked.values(), row, strict=True):
            values.append(value)
        leases += [(n, call_id, token) for call_id, token in one.tokens.items()]
    asked["lease_n"] = [n for n, _, _ in leases]
    asked["lease_call_id"] = [call_id for _, call_id, _ in leases]
    asked["lease_token"] = [token for _, _, token in leases]
    return asked


def _data_is_at_fault(error: Exception) -> bool:
    """Whether an entry of the statement is to blame: what it holds cannot be sent, or the database refuses it."""
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "")[:2] in _AT_FAULT
    return isinstance(error, (ValueError, TypeError, OverflowError))


async def _pause(attempt: int) -> None:
    """Wait before another try: 10 ms at first, doubling, with full jitter so that rivals part."""
    await asyncio.sleep(_FIRST_PAUSE_S * 2**attempt * (0.5 + random.random()))  # noqa: S311
