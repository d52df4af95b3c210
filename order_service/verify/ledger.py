"""What a partner did, as a stream of entries: from its ledger over HTTP, or from a report in a file.

An entry is the JSON object ``{seq?, kind, key?, orderId?, reference, amount?, currency?, items?}`` with the kinds
charge, decline, void, refund (amounts in minor units) and reserve, release, commit (items ``[{productId, quantity}]``).
A file has one entry per line, or is CSV with the same names as its header; ``items`` is JSON in CSV too.
"""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import aiohttp
import msgspec
from msgspec import Struct

MONEY_KINDS = frozenset({"charge", "decline", "void", "refund"})
STOCK_KINDS = frozenset({"reserve", "release", "commit"})
AT_ONCE = 2000
_PLACES = ("/ledger", "/sandbox/ledger")
_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=5)


class CannotRead(Exception):
    """A source does not give what it should; the message is one sentence."""


class Item(Struct, frozen=True, rename="camel"):
    """So many pieces of one product."""

    product_id: str
    quantity: int


class Entry(Struct, frozen=True, rename="camel"):
    """One effect at a partner; ``seq`` rises in the order of the effects, ``amount`` is minor units."""

    kind: str
    seq: int | None = None
    key: str | None = None
    order_id: str | None = None
    reference: str | None = None
    amount: int | None = None
    currency: str | None = None
    items: tuple[Item, ...] = ()


class _Page(Struct, frozen=True):
    items: tuple[Entry, ...]


_decode_page = msgspec.json.Decoder(_Page).decode


class Ledger(Protocol):
    """Any source of entries. ``as_of`` is set where it tells of a moment that is past, not of now."""

    as_of: datetime | None

    def read(self) -> AsyncIterator[list[Entry]]:
        """The entries that were not given before, in pieces, oldest first; ``CannotRead``."""
        ...


class HttpLedger:
    """``GET <address>?after=<seq>&limit=<n>`` -> ``{"items": [...]}``, oldest first, read page by page."""

    as_of: datetime | None = None

    def __init__(self, address: str) -> None:
        self.address = address
        self._after = 0

    async def read(self) -> AsyncIterator[list[Entry]]:
        """New entries, a page at a time."""
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            while True:
                page = _decoded(await self._page(session), self.address)
                fresh = [
                    entry if entry.seq is not None else msgspec.structs.replace(entry, seq=place)
                    for place, entry in enumerate(page.items, start=self._after + 1)
                    if entry.seq is None or entry.seq > self._after
                ]
                if not fresh:
                    return
                self._after = max(entry.seq or 0 for entry in fresh)
                yield fresh

    async def _page(self, session: aiohttp.ClientSession) -> bytes:
        asked = {"after": str(self._after), "limit": str(AT_ONCE)}
        try:
            async with session.get(self.address, params=asked) as answer:
                if answer.status != 200:
                    raise CannotRead(f"{self.address} answers {answer.status}.")
                return await answer.read()
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            raise CannotRead(f"{self.address} does not answer: {error or type(error).__name__}.") from None


def _decoded(body: bytes, address: str) -> _Page:
    try:
        return _decode_page(body)
    except msgspec.MsgspecError as error:
        raise CannotRead(f"{address} does not answer with a ledger: {error}.") from None


async def offered(base: str) -> HttpLedger | None:
    """The ledger that the partner at this address offers, None if it has none."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        for place in _PLACES:
            address = base.rstrip("/") + place
            try:
                async with session.get(address, params={"after": "0", "limit": "1"}) as answer:
                    if answer.status == 200 and answer.content_type == "application/json":
                        return HttpLedger(address)
            except (OSError, aiohttp.ClientError, TimeoutError) as error:
                raise CannotRead(f"{address} does not answer: {error or type(error).__name__}.") from None
    return None


class FileLedger:
    """A report in a file: CSV if its name says so, else JSON lines. It tells of the time the file was written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done = False
        try:
            self.as_of: datetime | None = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except OSError as error:
            raise CannotRead(f"{path} cannot be read: {error.strerror}.") from None

    async def read(self) -> AsyncIterator[list[Entry]]:
        """All entries, once; a report does not grow."""
        if self._done:
            return
        self._done = True
        piece: list[Entry] = []
        for entry in self._entries():
            piece.append(entry)
            if len(piece) == AT_ONCE:
                yield piece
                piece = []
        yield piece

    def _entries(self) -> Iterator[Entry]:
        rows = self._csv() if self._path.suffix.lower() == ".csv" else self._lines()
        place = 0
        try:
            for place, entry in enumerate(rows, start=1):
                yield entry if entry.seq is not None else msgspec.structs.replace(entry, seq=place)
        except (msgspec.MsgspecError, csv.Error, UnicodeDecodeError) as error:
            raise CannotRead(f"{self._path}, entry {place + 1}: {error}.") from None
        except OSError as error:
            raise CannotRead(f"{self._path} cannot be read: {error.strerror}.") from None

    def _lines(self) -> Iterator[Entry]:
        decode = msgspec.json.Decoder(Entry).decode
        with self._path.open("rb") as lines:
            for line in lines:
                if line.strip():
                    yield decode(line)

    def _csv(self) -> Iterator[Entry]:
        with self._path.open(newline="", encoding="utf-8-sig") as lines:
            for row in csv.DictReader(lines):
                given = {name: value for name, value in row.items() if name and value}
                if "items" in given:
                    given["items"] = msgspec.json.decode(given["items"])
                yield msgspec.convert(given, Entry, strict=False)
