"""Clients as they should be: each request is repeated with its key, at another replica, until it has a final answer.

They run on an event loop in a thread of its own, beside the scenarios that kill what they talk to.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import Counter
from contextlib import suppress
from typing import Any

import orjson
from msgspec import Struct

from order_service.partners.http1 import Connections, Lost, NoConnection, NotHttp
from order_service.torture.clientlog import Asked, ClientLog
from order_service.torture.replicas import Replica

ANSWER_WITHIN_S = 5.0
"""A replica that does not answer by then is as good as dead to its client."""

PATIENCE_S = 120.0
"""A request that has no final answer by then, whatever happened meanwhile, is a promise broken."""

_PAUSE_S = 0.03
_LONGEST_PAUSE_S = 0.5
_KNOCK_S = 0.01
_CONNECTIONS = 512
_ALLOWED = frozenset({200, 201, 202, 402, 409, 412})
_AGAIN = frozenset({429, 503})
_HEALTH = ("/health", "/readyz", "/metrics")


class Answer(Struct, frozen=True):
    """One HTTP answer; ``replica`` gave it."""

    status: int
    body: bytes
    replica: str

    @property
    def json(self) -> Any:
        """The decoded body."""
        return orjson.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a refusal."""
        found = self.json if self.status >= 400 else {}
        return str(found.get("code", "")) if isinstance(found, dict) else ""


class GaveUp(Exception):
    """A request came to no answer that a client could live with; the log has it."""


class _Door:
    """A replica as clients see it."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.open = False
        self.ways = Connections(replica.url, limit=_CONNECTIONS, idle_s=30, max_body=2**20)


class Clients:
    """The way from clients to replicas; ``log`` is what they were told. Make it on the loop on which they run."""

    def __init__(self, seed: int, log: ClientLog) -> None:
        self.log = log
        self.retries: Counter[str] = Counter()
        self.in_flight: Counter[int] = Counter()
        self._dice = random.Random(f"clients/{seed}")  # noqa: S311 - repeatable, no secret
        self._doors: dict[int, _Door] = {}
        self._knocking: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Drop every connection."""
        for door in self._doors.values():
            door.ways.close()
        self._doors.clear()

    @property
    def orders_in_flight(self) -> int:
        """How many orders have a request without a final answer just now."""
        return len(self.in_flight)

    def add(self, replica: Replica) -> None:
        """Send requests to this replica too, as soon as it listens."""
        door = self._doors[replica.pid] = _Door(replica)
        task = asyncio.get_running_loop().create_task(self._knock(door))
        self._knocking.add(task)
        task.add_done_callback(self._knocking.discard)

    def remove(self, replica: Replica) -> None:
        """Send nothing more to it."""
        door = self._doors.pop(replica.pid, None)
        if door is not None:
            door.ways.close()

    async def _knock(self, door: _Door) -> None:
        while door.replica.alive and not door.open and not door.ways.closed:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", door.replica.port)
                writer.close()
                door.open = True
            except OSError:
                await asyncio.sleep(_KNOCK_S)

    async def write(
        self, life: int, method: str, path: str, body: Any, *, bearer: str, key: str | None = None, wait: bool = True
    ) -> Answer:
        """A write until its final answer; with ``wait=False`` 202 will do. Raises ``GaveUp`` when there is none."""
        asked = Asked(method, path, orjson.dumps(body), key or str(uuid.UUID(int=self._dice.getrandbits(128))), bearer)
        return await self.settle(life, asked, wait=wait)

    async def settle(self, life: int, asked: Asked, *, wait: bool = True) -> Answer:
        """Ask until there is an answer that is final."""
        self.in_flight[life] += 1
        try:
            return await self._until_final(asked, wait)
        finally:
            self.in_flight[life] -= 1
            if not self.in_flight[life]:
                del self.in_flight[life]

    async def _until_final(self, asked: Asked, wait: bool) -> Answer:
        deadline = time.monotonic() + PATIENCE_S
        pause_s, last = _PAUSE_S, ""
        while time.monotonic() < deadline:
            answer = await self._once(asked, last)
            if answer is None:
                pause_s = _PAUSE_S
            else:
                last = answer.replica
                if self._take(asked, answer) or (answer.status == 202 and not wait):
                    return answer
            await asyncio.sleep(pause_s * self._dice.uniform(0.5, 1.5))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        sentence = f"no final answer within {PATIENCE_S:.0f} s: {asked.method} {asked.path}, key {asked.key}"
        self.log.complain(sentence)
        raise GaveUp(sentence)

    def _take(self, asked: Asked, answer: Answer) -> bool:
        """Note the answer; whether it is final."""
        if answer.status in _AGAIN or (answer.status == 409 and answer.code == "request-in-flight"):
            self.retries[answer.code or str(answer.status)] += 1
            return False
        if answer.status not in _ALLOWED:
            sentence = f"{asked.method} {asked.path} was answered {answer.status} by {answer.replica}"
            self.log.complain(f"{sentence}: {answer.body[:300]!r}")
            raise GaveUp(sentence)
        order_id, version = _told(asked, answer)
        self.log.told(asked, answer.status, answer.body, version, order_id)
        return answer.status != 202 or asked.ends_with_202

    async def _once(self, asked: Asked, last: str) -> Answer | None:
        fields = (
            f"Content-Type: application/json\r\nIdempotency-Key: {asked.key}\r\n"
            f"Authorization: Bearer {asked.bearer}\r\n"
        )
        return await self._exchange(asked.method, asked.path, fields, asked.body, last)

    async def read(self, path: str, *, bearer: str, order_id: str | None = None) -> Answer | None:
        """A question, asked until some replica answers; None after a while. ``order_id``: what it is about."""
        fields = f"Authorization: Bearer {bearer}\r\n"
        for _ in range(40):
            answer = await self._exchange("GET", path, fields, None, "")
            if answer is not None and (answer.status not in _AGAIN or path in _HEALTH):
                if order_id is not None:
                    version = answer.json["version"] if answer.status == 200 else None
                    self.log.read(order_id, answer.status, version)
                elif answer.status != 200 and path not in _HEALTH:
                    self.log.complain(f"GET {path} was answered {answer.status}: {answer.body[:300]!r}")
                return answer
            await asyncio.sleep(_PAUSE_S)
        return None

    async def _exchange(self, method: str, path: str, fields: str, body: bytes | None, last: str) -> Answer | None:
        door = self._choose(last)
        if door is None:
            self.retries["no replica"] += 1
            return None
        ways = door.ways
        try:
            answer = await ways.exchange(method, path, fields, body, ways.loop.time() + ANSWER_WITHIN_S)
        except (Lost, NoConnection, NotHttp, OSError, TimeoutError) as fault:
            self.retries[type(fault).__name__] += 1
            return None
        if answer.body is None:
            self.retries["broken answer"] += 1
            return None
        return Answer(answer.status, answer.body, door.replica.name)

    def _choose(self, last: str) -> _Door | None:
        """Any replica that listens; after a try that was in vain rather another one."""
        doors = [door for door in self._doors.values() if door.open]
        others = [door for door in doors if door.replica.name != last]
        return self._dice.choice(others or doors) if doors else None


def _told(asked: Asked, answer: Answer) -> tuple[str | None, int | None]:
    """The order that an answer is about, and its version, as far as it says."""
    if answer.status < 300:
        found = answer.json
        return str(found["id"]), int(found["version"])
    if asked.path == "/api/v1/orders":
        with suppress(AttributeError):
            found = answer.json.get("orderId")
            return None if found is None else str(found), None
    return None, None
