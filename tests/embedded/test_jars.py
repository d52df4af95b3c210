"""Kafka's program files are fetched once, by hash, and nothing else is ever believed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from order_service.embedded import LauncherError, java
from order_service.embedded.jars import LOCK, JarCache, read_lock

CONTENTS = {"one-1.0.jar": b"first" * 9999, "two-2.0.jar": b"second" * 9999}


class Repository:
    """A Maven repository on this machine that counts what it was asked for, and can serve a wrong file."""

    def __init__(self) -> None:
        self.files = dict(CONTENTS)
        self.asked: list[str] = []
        repository = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                content = repository.files.get(name)
                if name.endswith(".jar"):
                    repository.asked.append(name)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write((content or b"")[: repository.cut_at])

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.cut_at: int | None = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def repository() -> Iterator[Repository]:
    served = Repository()
    thread = Thread(target=served.server.serve_forever, args=(0.01,))
    thread.start()
    yield served
    served.server.shutdown()
    thread.join()
    served.server.server_close()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock of two small files."""
    lines = [
        f"org.example:{name.split('-')[0]}:{name.split('-')[1].removesuffix('.jar')} "
        f"sha256:{hashlib.sha256(content).hexdigest()}\n"
        for name, content in CONTENTS.items()
    ]
    path = tmp_path / "test.lock"
    path.write_text("".join(lines))
    return path


def in_cache(folder: Path) -> dict[str, bytes]:
    """What lies in the cache, scratch included."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def test_the_lock_names_every_file_of_kafka_once() -> None:
    jars = read_lock(LOCK)
    assert len(jars) == len({jar.file_name for jar in jars}) == 45
    assert [jar.version for jar in jars if jar.file_name.startswith("kafka_2.13")] == ["4.4.0"]


def test_files_are_fetched_once_and_progress_is_told(tmp_path: Path, lock: Path, repository: Repository) -> None:
    cache = JarCache(tmp_path / "jars", lock, repository.url)
    told: list[str] = []
    cache.fill(told.append)
    cache.fill(told.append)
    assert in_cache(cache.folder) == CONTENTS
    assert sorted(repository.asked) == sorted(CONTENTS)
    assert told == [
        "Kafka: fetching 2 program files (44 MB in all, once per user).",
        "Kafka: 1 of 2 program files fetched (50 %).",
        "Kafka: 2 of 2 program files fetched (100 %).",
    ]


def test_a_damaged_file_in_the_cache_is_fetched_again(tmp_path: Path, lock: Path, repository: Repository) -> None:
    cache = JarCache(tmp_path / "jars", lock, repository.url)
    cache.fill(lambda _: None)
    (cache.folder / "one-1.0.jar").write_bytes(b"damaged")
    cache.fill(lambda _: None)
    assert in_cache(cache.folder) == CONTENTS
    assert repository.asked.count("two-2.0.jar") == 1


def test_a_wrong_file_is_refused_and_never_gets_its_name(tmp_path: Path, lock: Path, repository: Repository) -> None:
    repository.files["two-2.0.jar"] = b"evil"
    cache = JarCache(tmp_path / "jars", lock, repository.url)
    with pytest.raises(LauncherError) as refusal:
        cache.fill(lambda _: None)
    assert str(refusal.value) == (
        "Kafka's program file two-2.0.jar was refused because it is not the file that the lock names: "
        "its SHA-256 differs."
    )
    assert "two-2.0.jar" not in in_cache(cache.folder)


def test_a_download_that_breaks_off_is_never_taken_for_the_file(
    tmp_path: Path, lock: Path, repository: Repository
) -> None:
    repository.cut_at = 1000
    cache = JarCache(tmp_path / "jars", lock, repository.url)
    with pytest.raises(LauncherError):
        cache.fill(lambda _: None)
    assert in_cache(cache.folder) == {}
    repository.cut_at = None
    cache.fill(lambda _: None)
    assert in_cache(cache.folder) == CONTENTS


def test_no_network_is_one_sentence(tmp_path: Path, lock: Path) -> None:
    lock.write_text(lock.read_text().splitlines()[0] + "\n")
    with pytest.raises(LauncherError) as refusal:
        JarCache(tmp_path / "jars", lock, "http://127.0.0.1:1").fill(lambda _: None)
    assert str(refusal.value) == (
        "Kafka's program file one-1.0.jar could not be fetched; connect this machine to the internet once, "
        "or set ORDER_SERVICE_KAFKA_BOOTSTRAP_SERVERS to a Kafka that runs elsewhere."
    )


def test_two_processes_at_once_fetch_each_file_once(tmp_path: Path, lock: Path, repository: Repository) -> None:
    program = (
        "import sys; from pathlib import Path; from order_service.embedded.jars import JarCache; "
        "JarCache(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]).fill(lambda _: None)"
    )
    folder = tmp_path / "jars"
    command = [sys.executable, "-c", program, str(folder), str(lock), repository.url]
    both = [subprocess.Popen(command), subprocess.Popen(command)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert in_cache(folder) == CONTENTS
    assert sorted(repository.asked) == sorted(CONTENTS)


def test_what_a_killed_process_had_half_fetched_is_swept_away(
    tmp_path: Path, lock: Path, repository: Repository
) -> None:
    cache = JarCache(tmp_path / "jars", lock, repository.url)
    leftover = cache.folder / ".fetching-x"
    leftover.mkdir(parents=True)
    (leftover / "half.jar").write_bytes(b"half")
    cache.fill(lambda _: None)
    assert in_cache(cache.folder) == CONTENTS


def test_a_boot_cache_belongs_to_one_java_and_one_set_of_files(tmp_path: Path) -> None:
    found = java.find_java()
    (tmp_path / "a.jar").write_bytes(b"a")
    first = found.aot_cache(tmp_path, [tmp_path / "a.jar"])
    (tmp_path / "a.jar").write_bytes(b"another")
    second = found.aot_cache(tmp_path, [tmp_path / "a.jar"])
    if found.version >= 25:
        assert first is not None
        assert first != second
    else:
        assert first is second is None


def test_old_boot_caches_are_removed_the_last_used_stay(tmp_path: Path) -> None:
    for age in range(5):
        cache = tmp_path / f"kafka-{age}.aot"
        cache.touch()
        os.utime(cache, (1_000_000 - age, 1_000_000 - age))
    java.prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kafka-0.aot", "kafka-1.aot", "kafka-2.aot"]
