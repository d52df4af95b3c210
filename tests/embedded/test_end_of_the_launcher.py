"""However the launcher ends, its servers end with it, and not before it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from launching import REPOSITORY, Launch

from order_service.embedded.jars import JarCache
from order_service.embedded.kafka import user_cache
from order_service.embedded.processes import is_alive, wait_gone

NOBODY = 65534


def programs(family: list[psutil.Process]) -> set[str]:
    return {process.name() for process in family}


def test_a_killed_launcher_leaves_no_process_and_the_next_one_finds_the_data(launch: Launch, data_dir: Path) -> None:
    first = launch(data_dir)
    assert programs(first.family) == {"postgres", "java"}
    first.process.send_signal(signal.SIGKILL)
    # At once, while the first one's servers may still be ending.
    second = launch(data_dir)
    assert wait_gone(first.family, timeout_s=30) == []
    assert (second.facts["dsn"], second.facts["bootstrap"]) == (first.facts["dsn"], first.facts["bootstrap"])
    assert second.say_stop() == 0
    assert wait_gone(second.family, timeout_s=30) == []


def test_ctrl_c_in_the_terminal_reaches_the_launcher_but_not_its_servers(launch: Launch, data_dir: Path) -> None:
    launched = launch(data_dir)
    os.killpg(launched.process.pid, signal.SIGINT)
    assert launched.process.stdout is not None
    assert launched.process.stdout.readline() == "interrupted\n"
    assert [process.name() for process in launched.family if not is_alive(process)] == []
    assert launched.say_stop() == 0


def unprivileged(uid: int) -> list[str]:
    """What makes root somebody else for good."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all", "--"]


def is_open_to(uid: int) -> bool:
    """Whether that user can run this Python and read this checkout; neither lies in a closed home folder."""
    trial = [*unprivileged(uid), sys.executable, "-c", "import order_service.embedded"]
    return subprocess.run(trial, cwd=REPOSITORY, capture_output=True, check=False).returncode == 0


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="every other test here already runs as an ordinary user")


@needs_root
def test_an_ordinary_user_without_a_home_can_run_both_servers(launch: Launch, data_dir: Path) -> None:
    # Without a home the program files are looked for with the data.
    files = JarCache(user_cache(data_dir) / "jars")
    files.fill(lambda _: None)
    shutil.copytree(files.folder, data_dir / "cache" / "jars", dirs_exist_ok=True)
    assert_that_user_can_run(NOBODY, ["postgres", "kafka"], launch, data_dir)


@needs_root
def test_a_user_number_without_a_name_can_run_postgres(launch: Launch, data_dir: Path) -> None:
    assert_that_user_can_run(54321, ["postgres"], launch, data_dir)


def assert_that_user_can_run(uid: int, servers: list[str], launch: Launch, data_dir: Path) -> None:
    if not is_open_to(uid):
        pytest.skip("this checkout or its Python lies in a folder closed to other users")
    for path in (data_dir, *data_dir.rglob("*")):
        os.chown(path, uid, uid)
    launched = launch(data_dir, *unprivileged(uid), env={"PATH": os.environ["PATH"]}, servers=servers)
    assert launched.facts["uid"] == uid
    assert {process.uids().real for process in launched.family} == {uid}
    launched.process.kill()
    assert wait_gone(launched.family, timeout_s=30) == []


def test_the_service_itself_never_imports_the_launcher() -> None:
    package, beside = REPOSITORY / "order_service", {"embedded", "torture", "bench"}
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "order_service.embedded" in path.read_text() and not beside & set(path.relative_to(package).parts)
    }
    assert users <= {"cli.py"}
