"""The log to Kafka: one owner at a time, in order per order, at least once.

| what happens | what is done |
|---|---|
| rows behind the cursor | sent; the cursor moves when all of them are acknowledged |
| a failure that passes (broker away, topic not there yet) | what is on its way is forgotten; a new producer goes on |
| a record refused for good | sent again alone; refused alone too: the order's stream is parked, the others flow |
| a person wants a parked order to go on | what was held back of it is sent first, then it flows with the others |
| the lease is lost | nothing more is sent; the new owner goes on from the cursor and repeats at most one batch |
| the log is broken | nothing more is sent, loudly, until a person has looked at it |
| stop | what is on its way is waited for, the lease is given back |
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import asyncpg
import structlog
from confluent_kafka import KafkaException
from msgspec import Struct

from order_service import faults
from order_service.broker import REFUSED_FOR_GOOD, Delivery, Sender, ensure_topic
from order_service.events import Record, records
from order_service.metrics import EVENTS
from order_service.store.pool import connect
from order_service.store.reader import LogBroken, LogReader, LogRow, NotOwner

log = structlog.get_logger("relay")

READER = "relay"
BATCH_ROWS = 1000
# What a batch of long rows is kept to, and what the event loop is held up by at once.
_BATCH_BYTES = 4_000_000
_FIRST_BATCH_ROWS = 200
_ROWS_AT_ONCE = 100
LEASE_S = 9.0
# A round costs the database two statements and a sync: rounds are paced, unless a batch is full.
_PACE_S = 0.05
_IDLE_S = 0.1
_LOOK_AT_PARKED_S = 5.0
_AFTER_FAILURE_S = 0.5
_AFTER_BREAK_S = 10.0
_STALLED_S = 30.0
_LAST_WAIT_S = 5.0

DATABASE_TROUBLE = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class Failed(Exception):
    """Sending failed in a way that passes: a new producer goes on from the cursor."""


class Stalled(Failed):
    """The broker is silent: nothing says that anything is wrong but its absence."""


class _Sent(Struct, frozen=True):
    """A record and the number of its row in the batch."""

    record: Record
    row: int


class Relay:
    """Publishes the log's events; start it in every replica, one of them works.

    ``personal`` puts the personal data of the order into its events. ``create_topic``: make the topic if it is absent.
    """

    def __init__(
        self,
        dsn: str,
        bootstrap: str,
        *,
        topic: str = "orders.events",
        personal: bool = False,
        create_topic: bool = True,
        lease_s: float = LEASE_S,
        batch_rows: int = BATCH_ROWS,
    ) -> None:
        self._dsn = dsn
        self._bootstrap = bootstrap
        self._topic = topic
        self._personal = personal
        self._create_topic = create_topic
        self._lease_s = lease_s
        self._batch_rows = batch_rows
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self._stopping = asyncio.Event()
        self._kept_at = 0.0
        self._topic_seen = False
        self.published = 0
        self.last_error: str | None = None
        self.owner = False

    async def run(self) -> None:
        """Relay until ``stop``; trouble of database or broker is waited out, never raised."""
        while not self._stopping.is_set():
            try:
                pool = await connect(self._dsn, max_size=2, name="order-service relay")
            except DATABASE_TROUBLE as error:
                self._trouble("no connection to the database", error)
                await self._sleep(_AFTER_FAILURE_S)
                continue
            try:
                await self._run_with(
                    LogReader(pool, READER, self._owner, lease_s=self._lease_s, personal=self._personal)
                )
            finally:
                with suppress(*DATABASE_TROUBLE):
                    async with asyncio.timeout(_LAST_WAIT_S):
                        await pool.close()

    def stop(self) -> None:
        """Ask ``run`` to come to its end."""
        self._stopping.set()

    async def _run_with(self, reader: LogReader) -> None:
        while not self._stopping.is_set():
            pause = _AFTER_FAILURE_S
            try:
                if not await self._acquire(reader):
                    pause = self._lease_s / 3
                else:
                    log.info("relay owns the log", owner=self._owner, topic=self._topic)
                    await self._own(reader)
            except NotOwner:
                log.warning("relay lost its lease", owner=self._owner)
            except LogBroken as error:
                self._trouble("the log is broken; nothing is relayed", error)
                pause = _AFTER_BREAK_S
            except Stalled as error:
                self._trouble("relaying stopped; it goes on from the cursor", error)
            except (Failed, KafkaException) as error:
                self._topic_seen = False
                self._trouble("relaying stopped; it goes on from the cursor", error)
            except DATABASE_TROUBLE as error:
                self._trouble("the database does not answer", error)
            except Exception as error:
                # A fault of ours: whoever started the relay would not notice its end before the end of the process.
                log.exception("relaying failed")
                self._trouble("relaying failed; it goes on from the cursor", error)
                pause = _AFTER_BREAK_S
            finally:
                self.owner = False
            await self._release(reader)
            await self._sleep(pause)

    async def _acquire(self, reader: LogReader) -> bool:
        asked_at = time.monotonic()
        self.owner = await reader.acquire()
        self._kept_at = asked_at
        return self.owner

    async def _release(self, reader: LogReader) -> None:
        with suppress(*DATABASE_TROUBLE):
            await reader.release()

    async def _own(self, reader: LogReader) -> None:
        """Everything an owner does, until it stops, fails, or is owner no more; the lease is kept meanwhile."""
        keeper = asyncio.create_task(self._keep(reader))
        try:
            await _until_first_ends(self._relay(reader), keeper)
        finally:
            keeper.cancel()
            with suppress(asyncio.CancelledError, NotOwner, *DATABASE_TROUBLE):
                await keeper

    async def _keep(self, reader: LogReader) -> None:
        """Prolong the lease in time; an owner that cannot is owner no more when the lease ends by its own clock."""
        while True:
            await asyncio.sleep(self._lease_s / 4)
            asked_at = time.monotonic()
            try:
                async with asyncio.timeout(self._lease_s / 4):
                    await reader.keep()
                self._kept_at = asked_at
            except DATABASE_TROUBLE:
                if time.monotonic() - self._kept_at > self._lease_s * 0.75:
                    reader.lose()
                    raise NotOwner("The lease could not be kept.") from None

    async def _relay(self, reader: LogReader) -> None:
        if not self._topic_seen:
            await ensure_topic(self._bootstrap, self._topic, create=self._create_topic)
            self._topic_seen = True
        parked: set[str] = set()
        looked_at = float("-inf")
        limit = min(_FIRST_BATCH_ROWS, self._batch_rows)
        ahead: asyncio.Task[list[LogRow]] | None = None
        sender = Sender(self._bootstrap, self._topic)
        try:
            while not self._stopping.is_set():
                if time.monotonic() - looked_at > _LOOK_AT_PARKED_S:
                    parked = await self._parked(reader)
                    looked_at = time.monotonic()
                rows = await (ahead or reader.read(limit=limit))
                ahead = None
                full = len(rows) == limit
                if full:
                    # There is a backlog: the database finds the next rows while the broker writes these.
                    limit = self._rows_next(rows)
                    ahead = asyncio.create_task(reader.read(rows[-1].cursor, limit=limit))
                if time.monotonic() - self._kept_at > self._lease_s:
                    # A process that was stopped for long wakes up here too, before its keeper has noticed.
                    raise NotOwner("The lease has run out.")
                if rows:
                    await self._publish(reader, sender, rows, parked)
                    self.last_error = None
                if not full:
                    await self._sleep(_PACE_S if rows else _IDLE_S)
        finally:
            if ahead is not None:
                await _forget(ahead)
            await sender.close()

    def _rows_next(self, rows: list[LogRow]) -> int:
        """How many rows like these make a batch."""
        length = sum(len(row.snapshot or "") for row in rows) or 1
        return max(1, min(self._batch_rows, _BATCH_BYTES * len(rows) // length))

    async def _parked(self, reader: LogReader) -> set[str]:
        """The orders that are parked, once those that a person wants to go on have been tried again."""
        parked = {stream.order_id: stream for stream in await reader.parked()}
        for stream in [s for s in parked.values() if s.resume]:
            waiting = set(parked) - {stream.order_id}
            rows = await reader.held_back(stream)
            if await self._send_rows_alone(reader, rows, waiting):
                await reader.unpark(stream.order_id)
                del parked[stream.order_id]
                log.info("stream of an order goes on", order_id=stream.order_id, version=stream.version)
        return set(parked)

    async def _publish(self, reader: LogReader, sender: Sender, rows: list[LogRow], parked: set[str]) -> None:
        """Send one batch; the cursor moves behind the last row before which everything is acknowledged."""
        out: list[_Sent] = []
        for n, row in enumerate(rows):
            if n % _ROWS_AT_ONCE == _ROWS_AT_ONCE - 1:
                await asyncio.sleep(0)
            if row.order_id not in parked:
                out += [_Sent(record, n) for record in records(row)]
        delivery = await sender.send([s.record for s in out])
        await self._acknowledged(delivery)
        done = delivery.contiguous
        self.published += done
        EVENTS.inc(done)
        if done == len(out):
            await reader.advance(rows[-1].cursor)
            return
        code = _first_error(delivery)
        first_open = out[done].row
        if first_open > 0:
            await reader.advance(rows[first_open - 1].cursor)
        if code not in REFUSED_FOR_GOOD:
            raise Failed(f"a record was not delivered (error {code})")
        await sender.close()
        await self._one_by_one(reader, rows[first_open:], parked)

    async def _one_by_one(self, reader: LogReader, rows: list[LogRow], parked: set[str]) -> None:
        """A batch was refused for good for at least one of its records: find it, park its order, let the rest flow."""
        for row in rows:
            await self._send_rows_alone(reader, [row], parked)
            await reader.advance(row.cursor)
        raise Failed("a batch was refused; its records were sent one by one")

    async def _send_rows_alone(self, reader: LogReader, rows: list[LogRow], parked: set[str]) -> bool:
        """Send each record alone; False when one is refused for good, and its order parked from there on."""
        for row in rows:
            for record in records(row) if row.order_id not in parked else ():
                code = await self._send_alone(record)
                if code in REFUSED_FOR_GOOD:
                    await self._park(reader, row, f"the broker refuses a record of {len(record.value)} bytes ({code})")
                    parked.add(row.order_id)
                    return False
                if code is not None:
                    raise Failed(f"a record was not delivered (error {code})")
        return True

    async def _send_alone(self, record: Record) -> int | None:
        sender = Sender(self._bootstrap, self._topic)
        try:
            delivery = await sender.send([record])
            await self._acknowledged(delivery)
            return delivery.errors.get(0)
        finally:
            await sender.close()

    async def _park(self, reader: LogReader, row: LogRow, error: str) -> None:
        await reader.park(row.order_id, row.version, error)
        log.error("stream of an order parked", order_id=row.order_id, version=row.version, error=error)

    async def _acknowledged(self, delivery: Delivery) -> None:
        await faults.around("kafka.ack", lambda: self._settled(delivery))

    async def _settled(self, delivery: Delivery) -> None:
        """Wait for the broker; one that gives no answer for long is left to another replica, which may reach it."""
        patience_s = _LAST_WAIT_S if self._stopping.is_set() else _STALLED_S
        waiting = asyncio.create_task(delivery.settled.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({waiting, stopping}, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done() and stopping.done():
                await asyncio.wait({waiting}, timeout=_LAST_WAIT_S)
            if not waiting.done():
                raise Stalled("the broker does not acknowledge")
        finally:
            waiting.cancel()
            stopping.cancel()

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _trouble(self, what: str, error: BaseException) -> None:
        text = str(error) or type(error).__name__
        if text != self.last_error:
            log.error(what, error=text, owner=self._owner)
        self.last_error = text


async def _until_first_ends(work: Coroutine[Any, Any, None], keeper: asyncio.Task[None]) -> None:
    """Run the work until it ends or the keeper does; what the one that ended first says is what is raised."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task, keeper}, return_when=asyncio.FIRST_COMPLETED)
        if keeper.done() and not task.done():
            keeper.result()
    finally:
        if not task.done():
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    if task.done() and not task.cancelled():
        task.result()


async def _forget(reading: asyncio.Task[list[LogRow]]) -> None:
    """End a read whose rows nobody wants any more; what went wrong with it will go wrong again."""
    reading.cancel()
    with suppress(asyncio.CancelledError, LogBroken, *DATABASE_TROUBLE):
        await reading


def _first_error(delivery: Delivery) -> int:
    """The error that came first in the order of the records: what follows it failed because of it."""
    codes = [delivery.errors[place] for place in sorted(delivery.errors)]
    refused = [code for code in codes if code in REFUSED_FOR_GOOD]
    return refused[0] if refused else codes[0]
