"""Answers no honest partner gives, said by a real socket: each becomes exactly one value, none is believed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hostile_asked import CHARGE, ENOUGH_S, PAID, RELEASE, Hostile, text
from hostile_charges import (
    BROKEN_EXCHANGES,
    DECLINES,
    INDEFINITE_CHARGES,
    LYING_CHARGES,
    MISSHAPEN_CHARGES,
    REFUSED_CHARGES,
    UNREADABLE_CHARGES,
)
from hostile_others import READS, REFUNDS, STOCK, VOIDS
from partner_rig import (
    RawServer,
    http,
    items,
    partners_at,
    raw_server,
    saying,
)

from order_service.core.answers import (
    Answer,
    Lied,
    Unanswered,
)
from order_service.core.requests import (
    AvailabilityRequest,
    encode_request,
    kind_of,
)
from order_service.partners import dispatch_call

CORPUS = [
    *UNREADABLE_CHARGES,
    *LYING_CHARGES,
    *MISSHAPEN_CHARGES,
    *BROKEN_EXCHANGES,
    *INDEFINITE_CHARGES,
    *REFUSED_CHARGES,
    *DECLINES,
    *VOIDS,
    *READS,
    *REFUNDS,
    *STOCK,
]


async def meet(hostile: Hostile) -> tuple[Answer, RawServer]:
    """Make the call against a socket that says this; the answer and what the socket heard."""
    async with raw_server(hostile.say) as server:
        partners = partners_at(server.url)
        answer = await dispatch_call(
            partners,
            kind_of(hostile.request),
            encode_request(hostile.request),
            "key-1",
            timeout_s=hostile.deadline_s,
        )
        await partners.close()
    return answer, server


@pytest.mark.parametrize("hostile", CORPUS, ids=lambda hostile: hostile.name)
def test_a_hostile_answer_becomes_what_it_is_and_is_asked_once(hostile: Hostile) -> None:
    answer, server = asyncio.run(meet(hostile))

    if hostile.expected == Lied(""):
        assert isinstance(answer, Lied)
        assert answer.detail.startswith("status ")
    else:
        assert answer == hostile.expected
    if server.heard and server.heard[0].method == "POST":
        assert len(server.heard) == 1


def test_the_corpus_is_large_and_names_each_case_once() -> None:
    names = [hostile.name for hostile in CORPUS]

    assert len(names) > 200
    assert len(names) == len(set(names))


def test_no_answer_carries_the_partners_own_words_or_our_token() -> None:
    said = text(PAID, status="tok_secret of Jane Doe\x00")
    hostile = Hostile("a gossip", CHARGE, saying(http(201, said)), Lied(""))

    answer, _ = asyncio.run(meet(hostile))

    assert answer == Lied("status 201: Invalid enum value that - at `$.status`")


def test_what_lies_on_an_idle_connection_is_not_taken_for_an_answer() -> None:
    """The partner answers the first call twice; the second call must get an answer of its own."""

    async def meet_twice() -> tuple[Answer, Answer, int]:
        said = [http(500), http(200, "{}")]

        async def say(writer: asyncio.StreamWriter) -> None:
            if not said:
                writer.write(http(503))
                return
            writer.write(said.pop(0))
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(said.pop(0))

        async with raw_server(say, keep_open=True) as server:
            partners = partners_at(server.url)
            door = encode_request(RELEASE)
            first = await dispatch_call(partners, "release", door, "key-1", timeout_s=ENOUGH_S)
            await asyncio.sleep(0.2)
            second = await dispatch_call(partners, "release", door, "key-2", timeout_s=ENOUGH_S)
            await partners.close()
            return first, second, len(server.heard)

    assert asyncio.run(meet_twice()) == (Unanswered("status 500"), Unanswered("status 503"), 2)


AVAILABILITY = [
    ("one product missing", http(200, '{"items":[{"productId":"a","availableQuantity":1}]}')),
    ("two quantities", http(200, json.dumps({"items": [
        {"productId": "a", "availableQuantity": 1},
        {"productId": "a", "availableQuantity": 2},
        {"productId": "b", "availableQuantity": 1},
    ]}))),
    ("words", http(200, "plenty")),
    ("wrong types", http(200, '{"items":[{"productId":"a","availableQuantity":"1"}]}')),
    ("another status", http(201, '{"items":[]}')),
    ("no such page", http(404)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "said"), AVAILABILITY, ids=lambda value: value if isinstance(value, str) else "")
def test_availability_that_is_not_complete_is_no_answer(name: str, said: bytes) -> None:
    answer = asyncio.run(_availability(said))

    assert isinstance(answer, Unanswered), name


def test_availability_below_zero_is_none_and_other_products_are_ignored() -> None:
    said = [("a", -4), ("b", 7), ("z", 9)]
    body = {"items": [{"productId": name, "availableQuantity": count} for name, count in said]}

    assert asyncio.run(_availability(http(200, json.dumps(body)))) == {"a": 0, "b": 7}


async def _availability(said: bytes) -> Any:
    async with raw_server(saying(said)) as server:
        partners = partners_at(server.url)
        answer = await partners.inventory.availability(
            AvailabilityRequest(items(("a", 1), ("b", 1))), "key-1", deadline_s=ENOUGH_S
        )
        await partners.close()
        return answer
