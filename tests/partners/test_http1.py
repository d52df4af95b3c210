"""The client under the wire: what it repeats, what it keeps, and what it lets go of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import uvloop
from partner_rig import RawServer, http, raw_server, saying, silence

from order_service.partners.http1 import Answer, Connections, Lost

T = TypeVar("T")
ENOUGH_S = 10.0


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run on the service's own event loop."""

    async def main() -> T:
        return await work()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def to(server: RawServer, *, limit: int = 4, idle_s: float = 4.0) -> Connections:
    return Connections(server.url, limit=limit, idle_s=idle_s, max_body=2**20)


async def ask(connections: Connections, method: str = "POST") -> Answer:
    body = b"{}" if method == "POST" else None
    return await connections.exchange(method, "/x", "", body, connections.loop.time() + ENOUGH_S)


async def until_heard(server: RawServer) -> None:
    async with asyncio.timeout(ENOUGH_S):
        while not server.heard:  # noqa: ASYNC110 - the server has no event to wait for
            await asyncio.sleep(0.001)


def answer_to(raw: bytes) -> Answer:
    async def one() -> Answer:
        async with raw_server(saying(raw)) as server:
            connections = to(server)
            try:
                return await ask(connections)
            finally:
                connections.close()

    return run(one)


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + http(200, "abc"), b"abc"),
        (http(200, b"\x00\xff" * 1000), b"\x00\xff" * 1000),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (http(200, b"x" * 2**20), b"x" * 2**20),
    ],
    ids=["chunks", "until the end", "behind interim answers", "any bytes", "nothing", "as large as allowed"],
)
def test_a_whole_answer_has_its_body(raw: bytes, body: bytes) -> None:
    answer = answer_to(raw)

    assert (answer.body, answer.fault) == (body, "")


def test_another_protocol_is_not_switched_to() -> None:
    raw = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"

    assert answer_to(raw).status == 101


def heard_when_the_second_is_dropped(method: str) -> tuple[list[str], type[Exception] | None, int]:
    """What a partner hears that hangs up on the second request of a connection without a word."""

    async def two() -> tuple[list[str], type[Exception] | None, int]:
        said = [http(200, "{}"), b"", http(200, "{}")]

        async def say(writer: asyncio.StreamWriter) -> None:
            word = said.pop(0)
            writer.write(word)
            if not word:
                writer.close()

        async with raw_server(say, keep_open=True) as server:
            connections = to(server)
            failed = None
            await ask(connections)
            try:
                await ask(connections, method)
            except Lost as lost:
                failed = type(lost)
            connections.close()
            return [heard.method for heard in server.heard], failed, server.connections

    return run(two)


def test_a_read_that_meets_a_connection_being_dropped_is_sent_once_more() -> None:
    assert heard_when_the_second_is_dropped("GET") == (["POST", "GET", "GET"], None, 2)


def test_a_write_that_meets_a_connection_being_dropped_is_not_sent_again() -> None:
    assert heard_when_the_second_is_dropped("POST") == (["POST", "POST"], Lost, 1)


def test_a_read_on_a_new_connection_is_not_sent_again() -> None:
    async def one() -> list[str]:
        async with raw_server(saying(b"")) as server:
            connections = to(server)
            with pytest.raises(Lost):
                await ask(connections, "GET")
            connections.close()
            return [heard.method for heard in server.heard]

    assert run(one) == ["GET"]


def test_an_answer_that_nobody_waits_for_is_not_given_to_the_next_request() -> None:
    async def two() -> tuple[Answer, int]:
        said = iter([b"", http(200, "second")])

        async def say(writer: asyncio.StreamWriter) -> None:
            writer.write(next(said))

        async with raw_server(say, keep_open=True) as server:
            connections = to(server, limit=1)
            given_up = asyncio.ensure_future(ask(connections))
            await until_heard(server)
            given_up.cancel()
            answer = await ask(connections)
            connections.close()
            return answer, server.connections

    answer, opened = run(two)

    assert (answer.body, opened) == (b"second", 2)


def test_two_answers_to_one_request_cost_the_connection() -> None:
    async def two() -> tuple[bytes | None, bytes | None, int]:
        said = iter([http(200, "first") + http(200, "unasked"), http(200, "second")])

        async def say(writer: asyncio.StreamWriter) -> None:
            writer.write(next(said))

        async with raw_server(say, keep_open=True) as server:
            connections = to(server)
            first, second = await ask(connections), await ask(connections)
            connections.close()
            return first.body, second.body, server.connections

    assert run(two) == (b"first", b"second", 2)


def test_an_idle_connection_is_closed_by_us_before_the_partner_would() -> None:
    async def two() -> int:
        async with raw_server(saying(http(200, "{}")), keep_open=True) as server:
            connections = to(server, idle_s=0.05)
            await ask(connections)
            await asyncio.sleep(0.2)
            await ask(connections)
            connections.close()
            return server.connections

    assert run(two) == 2


def test_who_waits_for_a_connection_and_goes_away_takes_no_turn() -> None:
    async def three() -> int:
        release = asyncio.Event()

        async def say(writer: asyncio.StreamWriter) -> None:
            await release.wait()
            writer.write(http(200, "{}"))

        async with raw_server(say, keep_open=True) as server:
            connections = to(server, limit=1)
            first, second, third = (asyncio.ensure_future(ask(connections)) for _ in range(3))
            await until_heard(server)
            second.cancel()
            release.set()
            await asyncio.gather(first, third)
            connections.close()
            return len(server.heard)

    assert run(three) == 2


def test_closing_ends_what_is_under_way() -> None:
    async def one() -> type[BaseException]:
        async with raw_server(silence) as server:
            connections = to(server)
            waiting = asyncio.ensure_future(ask(connections))
            await until_heard(server)
            connections.close()
            with pytest.raises(Lost) as lost:
                await waiting
            return lost.type

    assert run(one) is Lost


def test_name_and_password_of_an_address_are_sent_and_not_shown_as_host() -> None:
    async def one() -> dict[str, str]:
        async with raw_server(saying(http(200))) as server:
            connections = Connections(
                server.url.replace("//", "//us%40er:p%3Ass@"), limit=1, idle_s=4.0, max_body=2**20
            )
            await ask(connections)
            connections.close()
            return server.heard[0].headers

    headers = run(one)

    assert headers["authorization"] == "Basic dXNAZXI6cDpzcw=="
    assert headers["host"].startswith("127.0.0.1:")
