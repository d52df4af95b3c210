"""A plan says what happens at which passing of which point, and nothing else happens anywhere."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from order_service import faults
from order_service.store.pool import connect
from order_service.store.reads import clock


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.arm()


@pytest.mark.parametrize(
    "text",
    ["sql.commit", "sql.commit:before=kill", "sql.commit:during:1=kill", "sql.commit:before:0=kill",
     "sql.commit:before:1=explode", "sql.commit:before:x=kill", "sql.commit:before:1=delay:soon"],
)  # fmt: skip
def test_a_plan_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(faults.BadPlan, match=r"a fault is written|the phase is"):
        faults.read_plan(text)


def test_a_plan_is_read_whole() -> None:
    plan = "sql.commit:before:3=kill; http.payment.charge:after:1=stop;kafka.ack:after:2=delay:0.5;"
    assert faults.read_plan(plan) == [
        faults.Fault("sql.commit", "before", 3, "kill"),
        faults.Fault("http.payment.charge", "after", 1, "stop"),
        faults.Fault("kafka.ack", "after", 2, "delay", 0.5),
    ]


async def test_a_cut_before_sends_nothing_and_a_cut_after_loses_the_answer() -> None:
    done = []

    async def work() -> str:
        done.append(len(done))
        return "answer"

    faults.arm("there:before:1=cut;there:after:1=cut")
    with pytest.raises(ConnectionResetError, match="cut before there"):
        await faults.around("there", work)
    assert done == []
    with pytest.raises(ConnectionResetError, match="cut after there"):
        await faults.around("there", work)
    assert done == [0]
    assert await faults.around("there", work) == "answer"


async def test_every_point_is_written_down_once_when_it_is_first_passed(tmp_path: Path, database: str) -> None:
    seen = tmp_path / "seen"
    faults.arm(seen=str(seen))
    pool = await connect(database)
    await clock(pool)
    await clock(pool)
    await pool.close()
    lines = seen.read_text().splitlines()
    assert len(lines) == len(set(lines))
    assert {f"sql.{name}:{phase}" for name in ("connect", "set_limits", "settle_epoch", "clock") for phase in
            ("before", "after")} == set(lines)  # fmt: skip


async def test_what_is_planned_is_written_down_when_it_happens(tmp_path: Path) -> None:
    async def work() -> None:
        pass

    seen = tmp_path / "seen"
    faults.arm("there:after:2=delay:0", str(seen))
    await faults.around("there", work)
    assert seen.read_text().split() == ["there:before", "there:after"]
    await faults.around("there", work)
    assert seen.read_text().split() == ["there:before", "there:after", "there:after=delay"]


async def test_a_statement_that_is_cut_is_a_database_that_is_away_and_the_next_one_is_answered(database: str) -> None:
    pool = await connect(database)
    faults.arm("sql.clock:before:1=cut;sql.clock:after:1=cut")
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            await clock(pool)
    assert await clock(pool) is not None
    assert pool.get_size() - pool.get_idle_size() == 0
    await pool.close()


async def test_without_a_plan_no_hook_stands_in_the_way(database: str) -> None:
    faults.arm("", "")
    assert faults.hook is None
    pool: asyncpg.Pool = await connect(database)
    await clock(pool)
    await pool.close()


@pytest.mark.parametrize(("action", "number"), [("kill", signal.SIGKILL), ("stop", signal.SIGSTOP)])
def test_a_process_is_killed_or_stopped_at_its_point(action: str, number: signal.Signals) -> None:
    code = (
        "import asyncio\nfrom order_service import faults\nfaults.arm_from_environment()\n"
        "asyncio.run(faults.passing('p', 'before'))\nprint('once', flush=True)\n"
        "asyncio.run(faults.passing('p', 'before'))\nprint('twice', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={"ORDER_SERVICE_FAULTS": f"p:before:2={action}"}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"once\n"
    if number is signal.SIGSTOP:
        import os

        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert os.WSTOPSIG(status) == signal.SIGSTOP
        process.send_signal(signal.SIGCONT)
        assert process.communicate()[0] == b"twice\n"
    else:
        assert process.communicate()[0] == b""
        assert process.returncode == -signal.SIGKILL
