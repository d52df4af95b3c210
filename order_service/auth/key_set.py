"""The issuer's public keys, kept at hand: read in the background, never on account of a flood.

| asked for | the set was read | what happens |
|---|---|---|
| a known key | up to 5 minutes ago | found |
| a known key | up to an hour ago | found; the set is read again behind the request |
| anything | longer ago, or never | the request waits for the set |
| an unknown key | | the request waits for the set, unless it was read less than 10 seconds ago |

One read runs at a time, and none starts within 10 seconds of the one before, whether that one went well or not. A key
id that was not in the set is not looked for again for 30 seconds. While the issuer is away the old set serves on.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, RSAKey
from msgspec import Struct

from order_service.auth.cache import Fresh
from order_service.auth.strict_json import NotStrict, read_object

log = structlog.get_logger("order_service.auth")

FRESH_S = 300.0
STALE_S = 3600.0
"""How old a set may be believed while it cannot be read again."""
BETWEEN_READS_S = 10.0
UNKNOWN_S = 30.0
MAX_UNKNOWN = 1_000
MAX_KEYS = 100
MIN_RSA_BITS = 2048

_CURVES = {
    "ES256": ("P-256",),
    "ES384": ("P-384",),
    "ES512": ("P-521",),
    "EdDSA": ("Ed25519", "Ed448"),
    "Ed25519": ("Ed25519",),
}


class KeysUnavailable(Exception):
    """The issuer's keys cannot be read, and none that are young enough are at hand."""


class Source(Protocol):
    """Where the key set comes from."""

    async def read(self) -> bytes:
        """The JSON of the set; raises ``OSError`` with the reason where it cannot be had."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class IssuerKey(Struct, frozen=True):
    """A public key with what its owner says it is for."""

    kid: str | None
    alg: str | None
    key: Key

    def fits(self, alg: str) -> bool:
        """Whether signatures of this algorithm are made with such a key; no key ever serves for another kind."""
        if self.alg not in (None, alg):
            return False
        if alg.startswith(("RS", "PS")):
            return self.key.key_type == "RSA"
        return self.key.get("crv") in _CURVES[alg]


def parse_key_set(raw: bytes) -> list[IssuerKey]:
    """The usable keys of a set (RFC 7517); raises ``ValueError`` if there is none.

    Keys for encryption, of unknown kinds, too short or shared (``oct``) are passed over.
    """
    entries = read_object(raw).get("keys")
    if not isinstance(entries, list):
        raise NotStrict("a key set has a list of keys")
    found = [key for key in map(_key, entries[:MAX_KEYS]) if key is not None]
    if not found:
        raise NotStrict("no usable key in the set")
    return found


def _key(entry: Any) -> IssuerKey | None:
    if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    kid, alg, key_ops = entry.get("kid"), entry.get("alg"), entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(key_ops, list) or "verify" not in key_ops:
        return None
    if not isinstance(kid, str | None) or not isinstance(alg, str | None):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # short keys are passed over, and that is all there is to say
            key = JWKRegistry.import_key({name: value for name, value in entry.items() if name in _PUBLIC})
        if isinstance(key, RSAKey) and key.public_key.key_size < MIN_RSA_BITS:
            return None
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return IssuerKey(kid, alg, key)


_PUBLIC = frozenset({"kty", "n", "e", "crv", "x", "y"})
"""Members that make a public key: a set that holds private ones by mistake makes no difference."""


class KeySet:
    """The keys of one issuer."""

    def __init__(self, source: Source, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._keys: list[IssuerKey] = []
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._unknown: Fresh[str, bool] = Fresh(MAX_UNKNOWN, clock)

    def start(self) -> None:
        """Begin to read the set, before the first token comes."""
        self._begin()

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await self._source.close()

    async def find(self, kid: str | None, alg: str) -> Sequence[Key]:
        """The keys that may have made a signature; raises ``KeysUnavailable``."""
        age = self._clock() - self._read_at
        if age > STALE_S:
            await self._read()
            if self._clock() - self._read_at > STALE_S:
                raise KeysUnavailable
        elif age > FRESH_S:
            self._begin()
        found = self._matching(kid, alg)
        if found or kid is None or self._unknown.get(kid):
            return found
        if await self._read():
            found = self._matching(kid, alg)
            if not found:
                self._unknown.put(kid, True, UNKNOWN_S)
        return found

    def _matching(self, kid: str | None, alg: str) -> list[Key]:
        fitting = [key for key in self._keys if key.fits(alg)]
        if kid is None:
            return [fitting[0].key] if len(fitting) == 1 else []
        return [key.key for key in fitting if key.kid == kid]

    async def _read(self) -> bool:
        """Wait for a read that is under way or may begin; false if none may begin now."""
        task = self._begin()
        if task is None:
            return False
        await asyncio.shield(task)
        return True

    def _begin(self) -> asyncio.Task[None] | None:
        if self._reading is not None and not self._reading.done():
            return self._reading
        if self._clock() - self._tried_at < BETWEEN_READS_S:
            return None
        self._tried_at = self._clock()
        self._reading = asyncio.create_task(self._load())
        return self._reading

    async def _load(self) -> None:
        try:
            keys = parse_key_set(await self._source.read())
        except (OSError, ValueError) as fault:
            log.warning("issuer_keys_not_read", fault=str(fault) or type(fault).__name__, keys_at_hand=len(self._keys))
            return
        self._keys = keys
        self._read_at = self._clock()
        log.info("issuer_keys_read", keys=len(keys))
