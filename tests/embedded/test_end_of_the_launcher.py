"""However the launcher ends, its servers end with it, and not before it."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest
from conftest import REPOSITORY, Launch

from order_service.embedded.kafka import user_cache
from order_service.embedded.processes import is_alive, wait_gone


def servers(family: list[psutil.Process]) -> set[str]:
    return {process.name() for process in family}


def test_a_killed_launcher_leaves_no_process_and_the_next_one_finds_the_data(launch: Launch, tmp_path: Path) -> None:
    first = launch(tmp_path)
    assert servers(first.family) == {"postgres", "java"}
    first.process.send_signal(signal.SIGKILL)
    # At once, while the first one's servers may still be ending.
    second = launch(tmp_path)
    assert wait_gone(first.family, timeout_s=30) == []
    assert (second.facts["dsn"], second.facts["bootstrap"]) == (first.facts["dsn"], first.facts["bootstrap"])
    assert second.say_stop() == 0
    assert wait_gone(second.family, timeout_s=30) == []


def test_ctrl_c_in_the_terminal_reaches_the_launcher_but_not_its_servers(launch: Launch, tmp_path: Path) -> None:
    launched = launch(tmp_path)
    os.killpg(launched.process.pid, signal.SIGINT)
    assert launched.process.stdout is not None
    assert launched.process.stdout.readline() == "interrupted\n"
    assert [process.name() for process in launched.family if not is_alive(process)] == []
    assert launched.say_stop() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test here already runs as an ordinary user")
@pytest.mark.parametrize("uid", [pytest.param(65534, id="nobody"), pytest.param(54321, id="a number without a name")])
def test_an_ordinary_user_without_a_home_can_run_it(launch: Launch, tmp_path: Path, uid: int) -> None:
    data_dir = Path("/var/tmp") / f"order-service-test-{os.getpid()}-{uid}"
    shutil.copytree(user_cache(tmp_path) / "jars", data_dir / "cache" / "jars")
    try:
        for path in (data_dir, *data_dir.rglob("*")):
            os.chown(path, uid, uid)
        launched = launch(
            data_dir,
            *("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all", "--"),
            env={"PATH": os.environ["PATH"]},
        )
        assert launched.facts["uid"] == uid
        assert {process.uids().real for process in launched.family} == {uid}
        launched.process.kill()
        assert wait_gone(launched.family, timeout_s=30) == []
    finally:
        shutil.rmtree(data_dir)


def test_the_service_itself_never_imports_the_launcher() -> None:
    package = REPOSITORY / "order_service"
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "order_service.embedded" in path.read_text() and "embedded" not in path.relative_to(package).parts
    }
    assert users <= {"cli.py"}
