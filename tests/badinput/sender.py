"""Sends cases over many kept connections at once, and says how each answer differs from what it must be."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import jsonschema_rs

from .case import Case

CONNECTIONS = 32
ANSWER_TIMEOUT_S = 60.0
_MEMBERS = {"type", "title", "status", "code", "detail", "correlationId"}


class Answer(NamedTuple):
    """Status 0: the connection ended without an answer. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Sent(NamedTuple):
    """A case with its number in the run, which together with the seed brings it back, and what is wrong."""

    number: int
    case: Case
    answer: Answer
    wrong: str

    def told(self, seed: int) -> str:
        """Everything that it takes to see it again."""
        raw = base64.b64encode(self.case.data[:1500]).decode()
        return f"--bad-seed {seed} #{self.number} {self.case.name}: {self.wrong}\n    {self.answer!r:.400}\n    {raw}"


class Sender:
    """One run against one address; ``judge`` knows what is a problem document."""

    def __init__(self, port: int, problem: jsonschema_rs.Validator) -> None:
        self._port = port
        self._problem = problem
        self.sent: list[Sent] = []

    async def run(self, cases: Iterable[tuple[int, Case]]) -> None:
        """Send all of them; those that take the server's patience run beside the others."""
        waiting: list[asyncio.Task[None]] = []
        queue = iter(cases)

        async def lane() -> None:
            link = Link(self._port)
            for number, case in queue:
                if case.status == 408:
                    waiting.append(asyncio.create_task(self._send(Link(self._port), number, case)))
                else:
                    await self._send(link, number, case)
            link.close()

        await asyncio.gather(*(lane() for _ in range(CONNECTIONS)))
        await asyncio.gather(*waiting)

    async def _send(self, link: Link, number: int, case: Case) -> None:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            answer = await link.exchange(case)
        self.sent.append(Sent(number, case, answer, "; ".join(self._differences(case, answer))))

    def _differences(self, case: Case, answer: Answer) -> Iterator[str]:
        if answer.status != case.status:
            yield f"status {answer.status}, not {case.status}"
        elif case.status >= 400 and case.method != "HEAD":
            yield from self._of_problem(case, answer)
        if case.status == 405 and not answer.headers.get("allow"):
            yield "no Allow"
        if case.status == 408 and answer.headers.get("connection") != "close":
            yield "the connection is kept"

    def _of_problem(self, case: Case, answer: Answer) -> Iterator[str]:
        if answer.headers.get("content-type") != "application/problem+json":
            yield f"content type {answer.headers.get('content-type')}"
            return
        told: dict[str, Any] = json.loads(answer.body)
        if not self._problem.is_valid(told) or not told.keys() >= _MEMBERS:
            yield "not the problem document that is described"
        if (told["code"], told["status"], told["type"]) != (case.code, case.status, f"/docs/errors/{case.code}"):
            yield f"code {told['code']}, not {case.code}"
        if told["correlationId"] != answer.headers.get("x-correlation-id"):
            yield "two correlation ids"
        errors = told.get("errors", [])
        if (case.code == "validation-failed") is not bool(errors):
            yield f"errors {errors}"
        if case.pointer is not None and {fault["pointer"] for fault in errors} != {case.pointer}:
            yield f"pointers {[fault['pointer'] for fault in errors]}, not {case.pointer!r}"


class Link:
    """A connection that is opened when it is needed, and again when the server has ended it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def exchange(self, case: Case) -> Answer:
        """Send the bytes and read one answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(case.data)
        if case.half_closed:
            writer.write_eof()
        try:
            answer = await _read(reader, case.method)
        except (asyncio.IncompleteReadError, ConnectionError):
            answer = Answer(0, {}, b"")
        if case.ends or not answer.status or answer.headers.get("connection") == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Forget the connection."""
        if self._streams is not None:
            with contextlib.suppress(ConnectionError):
                self._streams[1].close()
        self._streams = None


async def _read(reader: asyncio.StreamReader, method: str) -> Answer:
    status = 100
    while status == 100:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
    length = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
    return Answer(status, headers, await reader.readexactly(length))
