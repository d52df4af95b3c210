"""API keys: how one is made, and how the key of a request is looked up at a bounded cost.

Only the SHA-256 of a key is stored or kept in memory. A lookup is believed for two seconds, so that a revoked key
stops working that soon on every replica. Lookups that come while one is under way share the next one: however many
unknown keys are tried, they take one connection at a time, and what they leave behind pushes no good key out.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets

import asyncpg

from order_service.auth.cache import Fresh
from order_service.problems import ServiceUnavailable
from order_service.requests import Principal
from order_service.store.api_keys import KeyRow, find_api_keys

PREFIX = "osk_"
BELIEVED_S = 2.0
"""How long a key may go on working after it was revoked, and an unknown one is not asked for again."""
FOUND_WITHIN_S = 4.0
"""Longer than a read of the issuer's keys may take; a database that hangs is told as one that is away."""
MAX_KNOWN = 10_000
MAX_UNKNOWN = 10_000
MAX_WAITING = 4_096
"""Lookups that may wait at a time; above that callers are told to come back."""
BATCH = 512
"""Keys looked up by one statement."""

_SHAPE = re.compile(re.escape(PREFIX) + "[A-Za-z0-9_-]{43}")


def new_key() -> str:
    """The text of a new key: 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(key: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


def principal_of(row: KeyRow) -> Principal:
    """Who calls with this key. A user's keys have one name, so that a rotation loses no Idempotency-Key."""
    name = f"{row.scope}:{row.user}" if row.user else f"key:{row.id}"
    return Principal(name, row.scope, row.user)


class ApiKeys:
    """Finds the principal of a key."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._known: Fresh[bytes, Principal] = Fresh(MAX_KNOWN)
        self._unknown: Fresh[bytes, bool] = Fresh(MAX_UNKNOWN)
        self._waiting: dict[bytes, asyncio.Future[Principal | None]] = {}
        self._worker: asyncio.Task[None] | None = None
        self.lookups = 0
        """Statements sent so far."""

    async def find(self, key: str) -> Principal | None:
        """Who has this key, None if nobody has, or not any more; raises what a database that is away raises."""
        if not _SHAPE.fullmatch(key):
            return None
        digest = digest_of(key)
        known = self._known.get(digest)
        if known is not None:
            return known
        if self._unknown.get(digest):
            return None
        async with asyncio.timeout(FOUND_WITHIN_S):
            return await self._look_up(digest)

    async def _look_up(self, digest: bytes) -> Principal | None:
        future = self._waiting.get(digest)
        if future is None:
            if len(self._waiting) >= MAX_WAITING:
                raise ServiceUnavailable
            future = self._waiting[digest] = asyncio.get_running_loop().create_future()
            # All who waited may have been cancelled: then nobody is left to be told of an error.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await asyncio.shield(future)

    async def _work(self) -> None:
        while self._waiting:
            batch = {digest: self._waiting.pop(digest) for digest in list(self._waiting)[:BATCH]}
            try:
                self.lookups += 1
                rows = await find_api_keys(self._pool, list(batch))
            except BaseException as error:
                for future in batch.values():
                    future.set_exception(error if isinstance(error, Exception) else ConnectionError("was cut off"))
                if not isinstance(error, Exception):
                    raise
            else:
                for digest, future in batch.items():
                    future.set_result(self._believe(digest, rows.get(digest)))

    def _believe(self, digest: bytes, row: KeyRow | None) -> Principal | None:
        if row is None:
            self._unknown.put(digest, True, BELIEVED_S)
            return None
        principal = principal_of(row)
        self._known.put(digest, principal, BELIEVED_S if row.left_s is None else min(BELIEVED_S, row.left_s))
        return principal
