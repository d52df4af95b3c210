"""Where an issuer's key set is read from: an address, or a file."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import aiohttp

from order_service import faults

MAX_SET = 256 * 1024
"""Bytes of a key set; the usual one has two thousand."""
READ_WITHIN_S = 3.0


class FileSource:
    """A file, read again each time, so that it can be replaced while the service runs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self) -> bytes:
        """The file."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes:
        with self._path.open("rb") as file:
            return _bounded(file.read(MAX_SET + 1))

    async def close(self) -> None:
        """Nothing is held."""


class UrlSource:
    """An address, asked without redirects, proxies, cookies or credentials."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def read(self) -> bytes:
        """The answer's body; raises ``OSError`` for whatever is not a complete 200 in time."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None),
                headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "order-service"},
            )
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                return await faults.around("http.issuer.keys", partial(self._exchange, self._session))
        except TimeoutError:
            raise OSError("no complete answer in time") from None
        except (aiohttp.ClientError, ValueError) as fault:
            raise OSError(type(fault).__name__) from None

    async def _exchange(self, session: aiohttp.ClientSession) -> bytes:
        async with session.get(self._url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise OSError(f"answered with {answer.status}")
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                _bounded(body)
            return bytes(body)

    async def close(self) -> None:
        """Drop the connection."""
        if self._session is not None:
            await self._session.close()


def _bounded(body: bytes | bytearray) -> bytes:
    if len(body) > MAX_SET:
        raise OSError(f"longer than {MAX_SET} bytes")
    return bytes(body) if isinstance(body, bytearray) else body
