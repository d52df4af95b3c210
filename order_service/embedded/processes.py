"""Processes that are not our own children: seen, awaited, killed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable

import psutil  # type: ignore[import-untyped]


def is_alive(process: psutil.Process) -> bool:
    """Whether a process still runs; one that ended and waits for its parent to notice does not.

    The difference matters in a container whose first process never collects the ended ones.
    """
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_gone(processes: Iterable[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait until all have ended; those that still run after the time are returned."""
    deadline = time.monotonic() + timeout_s
    left = [process for process in processes if is_alive(process)]
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [process for process in left if is_alive(process)]
    return left


def kill_all(processes: Iterable[psutil.Process], timeout_s: float = 10) -> None:
    """Kill them all at once and return when none is left, or after the time."""
    doomed = list(processes)
    for process in doomed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_gone(doomed, timeout_s)
