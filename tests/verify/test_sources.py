"""Where the verification looks: reports in files, ledgers over HTTP, the topic itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, OffsetSpec
from confluent_kafka.cimpl import NewTopic, TopicPartition

from order_service.embedded import Kafka
from order_service.verify.ledger import AT_ONCE, CannotRead, Entry, FileLedger, HttpLedger, Item, Ledger, offered
from order_service.verify.topic import Found, KafkaTopic, found
from tests.relay.topic import topic_name

_ORDER = "11111111-1111-4111-8111-111111111111"
_CHARGE = Entry("charge", 1, "k", _ORDER, f"{_ORDER}-p1", 500, "USD")


async def _all(ledger: Ledger) -> list[Entry]:
    return [entry async for piece in ledger.read() for entry in piece]


def _read(path: Path) -> list[Entry]:
    return asyncio.run(_all(FileLedger(path)))


def test_a_report_as_csv_is_read_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "report.CSV"
    path.write_text(
        f"kind,reference,amount,currency,orderId,key,settled\ncharge,{_ORDER}-p1,500,USD,{_ORDER},k,yes\n"
        f"decline,{_ORDER}-p2,,,,,\n",
        encoding="utf-8-sig",
    )
    assert _read(path) == [_CHARGE, Entry("decline", 2, reference=f"{_ORDER}-p2")]


def test_a_stock_report_as_csv_has_its_items_as_json(tmp_path: Path) -> None:
    path = tmp_path / "stock.csv"
    path.write_text('kind,reference,items\nreserve,r-1,"[{""productId"":""hat"",""quantity"":2}]"\n')
    assert _read(path) == [Entry("reserve", 1, reference="r-1", items=(Item("hat", 2),))]


def test_a_report_as_json_lines_may_have_more_than_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    line = {"kind": "charge", "seq": 1, "key": "k", "orderId": _ORDER, "reference": f"{_ORDER}-p1", "amount": 500}
    path.write_text(json.dumps(line | {"currency": "USD", "fee": 12}) + "\n\n")
    assert _read(path) == [_CHARGE]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.jsonl", '{"kind": "charge", "amount": "much"}\n', "entry 1"),
        ("a.jsonl", '{"kind": "charge"}\nnothing\n', "entry 2"),
        ("a.csv", "reference,amount\nx,1\n", "entry 1"),
        ("a.csv", "kind,amount\ncharge,12.50\n", "entry 1"),
    ],
)
def test_a_report_that_cannot_be_read_is_told_with_its_place(tmp_path: Path, name: str, text: str, told: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(CannotRead, match=told):
        _read(path)


def test_a_report_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CannotRead, match="No such file"):
        FileLedger(tmp_path / "none.csv")


@asynccontextmanager
async def _partner(place: str, entries: list[dict[str, Any]]) -> AsyncIterator[str]:
    async def ledger(request: web.Request) -> web.Response:
        after, limit = int(request.query["after"]), int(request.query["limit"])
        assert limit <= AT_ONCE
        return web.json_response({"items": entries[after : after + limit]})

    app = web.Application()
    app.router.add_get(place, ledger)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("numbered", [True, False])
def test_a_ledger_is_read_page_by_page_and_later_from_where_it_ended(numbered: bool) -> None:
    entries = [{"kind": "void", "reference": f"r-{n}"} | ({"seq": n} if numbered else {}) for n in range(1, 5001)]

    async def work() -> None:
        async with _partner("/ledger", entries) as base:
            ledger = await offered(base)
            assert isinstance(ledger, HttpLedger)
            pieces = [piece async for piece in ledger.read()]
            assert [len(piece) for piece in pieces] == [2000, 2000, 1000]
            assert [e.seq for piece in pieces for e in piece] == list(range(1, 5001))
            assert await _all(ledger) == []
            entries.append({"kind": "void", "reference": "later"} | ({"seq": 5001} if numbered else {}))
            assert [e.reference for e in await _all(ledger)] == ["later"]

    asyncio.run(work())


def test_a_partner_without_a_ledger_offers_none() -> None:
    async def work() -> None:
        async with _partner("/elsewhere", []) as base:
            assert await offered(base) is None

    asyncio.run(work())


def test_a_partner_that_is_away_is_told() -> None:
    with pytest.raises(CannotRead, match="does not answer"):
        asyncio.run(offered("http://127.0.0.1:9"))


# --- the topic ---


def _send(bootstrap: str, topic: str, sequences: range) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for n in sequences:
        headers = [("ce_id", f"{_ORDER}.{n}".encode())]
        producer.produce(topic, key=_ORDER.encode(), value=b"%d" % n, headers=headers)
    assert producer.flush(30) == 0


async def _records(topic: KafkaTopic) -> list[Found]:
    return [record async for piece in topic.read() for record in piece]


def _new_topic(kafka: Kafka) -> str:
    name = topic_name()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic(name, 2)])[name].result(30)
    return name


def test_the_topic_is_read_to_its_end_and_later_from_there(kafka: Kafka) -> None:
    name = _new_topic(kafka)
    _send(kafka.bootstrap, name, range(1, 4501))
    topic = KafkaTopic(kafka.bootstrap, name)
    try:
        assert sorted(r.sequence or 0 for r in asyncio.run(_records(topic))) == list(range(1, 4501))
        _send(kafka.bootstrap, name, range(4501, 4503))
        assert sorted(r.sequence or 0 for r in asyncio.run(_records(topic))) == [4501, 4502]
        assert asyncio.run(_records(topic)) == []
        assert topic.since is None
    finally:
        topic.close()


def test_a_topic_that_has_forgotten_its_beginning_says_since_when(kafka: Kafka) -> None:
    name = _new_topic(kafka)
    _send(kafka.bootstrap, name, range(1, 11))
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    places = [TopicPartition(name, p) for p in (0, 1)]
    ends = admin.list_offsets({place: OffsetSpec.latest() for place in places})
    [full] = [place.partition for place, end in ends.items() if end.result(30).offset]
    admin.delete_records([TopicPartition(name, full, 5)])[TopicPartition(name, full)].result(30)
    topic = KafkaTopic(kafka.bootstrap, name)
    try:
        assert [r.sequence for r in asyncio.run(_records(topic))] == [6, 7, 8, 9, 10]
        assert topic.since is not None
    finally:
        topic.close()


def test_a_topic_that_is_not_there_is_told(kafka: Kafka) -> None:
    topic = KafkaTopic(kafka.bootstrap, "never-made")
    try:
        with pytest.raises(CannotRead, match="never-made"):
            asyncio.run(_records(topic))
    finally:
        topic.close()


def test_personal_data_makes_no_difference_to_what_a_record_says() -> None:
    headers = [("ce_id", f"{_ORDER}.1".encode())]
    plain = found(0, 0, b"k", headers, b'{"order":{"id":"x","tax":300},"change":{}}')
    personal = b'"shippingAddress":{"name":"Ada"},"billingAddress":null,"notes":null'
    told = found(0, 0, b"k", headers, b'{"order":{"id":"x","tax":300,' + personal + b'},"change":{}}')
    assert told.sense == plain.sense
    assert told.raw != plain.raw
