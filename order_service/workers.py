"""Several processes of the service behind one port: each is a whole replica, the kernel spreads the connections.

They end with this one, and one that dies is started again. Nothing is shared but the database.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import FrameType

import structlog

log = structlog.get_logger("workers")

CHILD = "ORDER_SERVICE_CHILD"
"""Set in the environment of each process to its parent's number: it listens beside its siblings and ends with it."""

RESTART_AFTER_S = 1.0
DRAIN_S = 25.0


def is_child() -> bool:
    """Whether this process is one of several behind one port."""
    return bool(os.environ.get(CHILD))


def is_orphan() -> bool:
    """Whether the parent died before this process could ask to end with it."""
    return os.environ.get(CHILD) != str(os.getppid())


def run_workers(count: int, arguments: list[str]) -> int:
    """Run ``count`` processes of ``order-service serve`` until SIGTERM or SIGINT; the exit code of the worst."""
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    children = [_start(arguments) for _ in range(count)]
    while not stopping:
        time.sleep(0.2)
        for place, child in enumerate(children):
            if child.poll() is not None and not stopping:
                log.warning("worker_ended", pid=child.pid, exit_code=child.returncode)
                time.sleep(RESTART_AFTER_S)
                children[place] = _start(arguments)
    for child in children:
        child.send_signal(signal.SIGTERM)
    return max(_ended(child) for child in children)


def _start(arguments: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "order_service", "serve", *arguments]
    return subprocess.Popen(command, env=os.environ | {CHILD: str(os.getpid())}, start_new_session=True)  # noqa: S603 - ourselves


def _ended(child: subprocess.Popen[bytes]) -> int:
    try:
        code = child.wait(DRAIN_S)
        return 0 if code == -signal.SIGTERM else abs(code)  # so soon after its start that it had no ear for it yet
    except subprocess.TimeoutExpired:
        child.kill()
        return abs(child.wait())
