"""The cache that halves Kafka's boot is made in the background, whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil
import pytest

from order_service.embedded import Kafka, java
from order_service.embedded.jars import JarCache
from order_service.embedded.kafka import user_cache
from order_service.embedded.prepare import prepare
from order_service.embedded.processes import is_alive, wait_gone

pytestmark = pytest.mark.skipif(java.find_java().version < 25, reason="this Java has no such cache")


@pytest.fixture
def cache_dir(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache that has Kafka's program files but no boot cache."""
    files = JarCache(user_cache(data_dir) / "jars")
    files.fill(lambda _: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(data_dir / "xdg"))
    cache = data_dir / "xdg" / "order-service"
    shutil.copytree(files.folder, cache / "jars")
    return cache


def preparing() -> list[psutil.Process]:
    """The background processes of this test's launchers."""
    return [child for child in psutil.Process().children() if "order_service.embedded.prepare" in child.cmdline()]


def test_once_made_it_is_used_and_not_made_again(data_dir: Path, cache_dir: Path) -> None:
    prepare(data_dir)
    [made] = [path for path in (cache_dir / "aot").iterdir() if path.name != ".lock"]
    with Kafka(data_dir) as kafka:
        assert f"-XX:AOTCache={made}" in psutil.Process(kafka.pid).cmdline()
        assert preparing() == []


def test_a_stop_does_not_wait_for_it_and_leaves_nothing_of_it_running(data_dir: Path, cache_dir: Path) -> None:
    with Kafka(data_dir) as kafka:
        assert [part for part in psutil.Process(kafka.pid).cmdline() if part.startswith("-XX:AOT")] == []
        [background] = preparing()
        while not (family := background.children(recursive=True)):
            assert is_alive(background)
        assert background.nice() == 19
    assert wait_gone([background, *family], timeout_s=0) == []
    assert [path.name for path in (cache_dir / "aot").glob("*.aot")] == []
