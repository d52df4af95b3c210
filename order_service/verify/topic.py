"""What the topic has, record by record, as digests: two records are equal when their digests are."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Protocol

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from msgspec import Struct

from order_service.verify.ledger import CannotRead

AT_ONCE = 2000
_WAIT_S = 0.2
_TIMEOUT_S = 10.0
_SILENT_S = 20.0
_PERSONAL = ("shippingAddress", "billingAddress", "notes")

Headers = Sequence[tuple[str, bytes]]


class Found(Struct, frozen=True):
    """One record: ``raw`` is the digest of its bytes, ``sense`` that of all but personal data."""

    partition: int
    offset: int
    order_id: uuid.UUID | None
    sequence: int | None
    event_id: str
    raw: bytes
    sense: bytes


class Topic(Protocol):
    """Any source of records. ``since`` is set where it has forgotten what is older."""

    since: datetime | None

    def read(self) -> AsyncIterator[list[Found]]:
        """The records that were not given before, in pieces; ``CannotRead``."""
        ...

    def size(self) -> int:
        """How many records there are to be read, roughly; for the progress bar."""
        ...


def found(partition: int, offset: int, key: bytes, headers: Headers, value: bytes) -> Found:
    """What is remembered of a record."""
    event_id = next((v.decode(errors="replace") for n, v in headers if n == "ce_id"), "")
    order_id, sequence = _name(event_id)
    raw = digest(key, headers, value)
    plain = without_personal(value)
    sense = raw if plain is value else digest(key, headers, plain)
    return Found(partition, offset, order_id, sequence, event_id, raw, sense)


def digest(key: bytes, headers: Headers, value: bytes) -> bytes:
    """The digest of a record."""
    whole = sha256()
    for part in (key, *(p for name, text in headers for p in (name.encode(), text)), value):
        whole.update(len(part).to_bytes(4, "big"))
        whole.update(part)
    return whole.digest()


def without_personal(value: bytes) -> bytes:
    """The same event as it would be without the personal data of its order."""
    if b',"shippingAddress":' not in value:
        return value
    try:
        event = msgspec.json.decode(value)
        for name in _PERSONAL:
            event["order"].pop(name, None)
        return msgspec.json.encode(event)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return value


def _name(event_id: str) -> tuple[uuid.UUID | None, int | None]:
    order_id, _, sequence = event_id.rpartition(".")
    try:
        return uuid.UUID(order_id), min(int(sequence), 2**31 - 1)
    except ValueError:
        return None, None


class KafkaTopic:
    """The topic from its beginning to its end as of now; a second read goes on where the first ended."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.since: datetime | None = None
        self._topic = topic
        self._next: dict[int, int] = {}
        self._size = 0
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"order-service-verify-{uuid.uuid4().hex[:8]}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": 16384,
                "log_level": 0,
            }
        )

    def size(self) -> int:
        """Records between begin and end."""
        return self._size

    def close(self) -> None:
        """Give the connection back."""
        self._consumer.close()

    async def read(self) -> AsyncIterator[list[Found]]:
        """New records, in pieces."""
        try:
            ends = await asyncio.to_thread(self._assign)
            silent_s = 0.0
            while any(self._next[p] < end for p, end in ends.items()):
                messages = await asyncio.to_thread(self._consumer.consume, AT_ONCE, _WAIT_S)
                silent_s = 0.0 if messages else silent_s + _WAIT_S
                if silent_s >= _SILENT_S:
                    raise CannotRead(f"Kafka gives no more records of {self._topic}.")
                piece = [self._take(message) for message in messages if not _is_end(message)]
                self._advance()
                yield piece
        except KafkaException as error:
            raise CannotRead(f"topic {self._topic} cannot be read: {error.args[0].str()}.") from None

    def _assign(self) -> dict[int, int]:
        known = self._consumer.list_topics(self._topic, timeout=_TIMEOUT_S).topics[self._topic]
        if known.error is not None:
            raise CannotRead(f"topic {self._topic} cannot be read: {known.error.str()}.")
        ends: dict[int, int] = {}
        for partition in known.partitions:
            place = TopicPartition(self._topic, partition)
            low, high = self._consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S, cached=False)
            ends[partition] = high
            self._size += high - low
            if partition not in self._next:
                self._next[partition] = low
                self._note_begin(place, low, high)
        self._consumer.assign([TopicPartition(self._topic, p, start) for p, start in self._next.items()])
        return ends

    def _note_begin(self, place: TopicPartition, low: int, high: int) -> None:
        """A partition that does not begin at 0 has forgotten what is older than its first record, or everything."""
        if low == 0:
            return
        begin = datetime.now(UTC)
        if low < high:
            self._consumer.assign([TopicPartition(place.topic, place.partition, low)])
            message = self._consumer.poll(_TIMEOUT_S)
            if message is not None and message.error() is None:
                begin = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
        self.since = begin if self.since is None else max(self.since, begin)

    def _advance(self) -> None:
        """Markers of transactions take offsets too: what counts is where the consumer stands."""
        for place in self._consumer.position([TopicPartition(self._topic, p) for p in self._next]):
            if place.offset >= 0:
                self._next[place.partition] = max(self._next[place.partition], place.offset)

    def _take(self, message: Message) -> Found:
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        told = message.headers() or []
        pairs = told.items() if isinstance(told, dict) else told
        headers = [(name, _bytes(value)) for name, value in pairs]
        return found(partition, offset, _bytes(message.key()), headers, _bytes(message.value()))


def _is_end(message: Message) -> bool:
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:
        return True
    raise KafkaException(error)


def _bytes(value: bytes | str | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
