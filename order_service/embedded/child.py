"""A process that belongs to the launcher: never hit by a terminal's Ctrl-C, never outliving the launcher."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from order_service.embedded.errors import LauncherError, from_os_error
from order_service.embedded.processes import kill_all

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None

_KEPT_LOG_BYTES = 10 * 1024 * 1024
_TAIL_LINES = 15
_TRACE = ("\tat ", "\t... ")


class Child:
    """One process in a session of its own, with its output in a log file.

    On Linux the kernel sends it `death_signal` when the launcher's main thread ends, however it ends. The
    kernel binds this to the *thread* that started the process, hence only the main thread may do it.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        cwd: Path,
        env: Mapping[str, str],
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("Start servers from the main thread: they end with the thread that starts them.")
        self.log = log
        _set_aside(log)
        try:
            with log.open("ab") as output:
                self._log_start = output.tell()
                self._process = subprocess.Popen(  # noqa: S603
                    [os.fspath(part) for part in argv],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env=dict(env),
                    start_new_session=True,
                    preexec_fn=_dying_with(os.getpid(), death_signal),
                )
        except OSError as error:
            raise from_os_error(error, f"{os.fspath(argv[0])} could not be started") from error

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How the process ended (negative: by that signal), or None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """All that this process has written to its log so far."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def tail(self) -> str:
        """The last lines of the process's output, without the steps of stack traces, which bury what they explain."""
        lines = [line for line in self.output().splitlines() if not line.startswith(_TRACE)]
        return "\n".join(lines[-_TAIL_LINES:])

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; harmless when it has ended."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float) -> bool:
        """Whether the process ended within the time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, steps: Sequence[tuple[signal.Signals, float]]) -> None:
        """Ask with each signal in turn, waiting its seconds; kill what is left after the last."""
        for number, patience_s in steps:
            if self.exit_code is not None:
                return
            self._process.send_signal(number)
            if self.wait(patience_s):
                return
        self.kill()

    def kill(self) -> None:
        """End the process and all its descendants at once, and return when none is left."""
        family = self._family()
        self._process.kill()
        kill_all(family)
        self._process.wait()

    def _family(self) -> list[psutil.Process]:
        """The descendants, gathered while the process is frozen so that none is born meanwhile."""
        if self.exit_code is not None:
            return []
        self._process.send_signal(signal.SIGSTOP)
        try:
            return list(psutil.Process(self.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return []


def run_once(argv: Sequence[str | Path], *, log: Path, cwd: Path, env: Mapping[str, str], what: str) -> None:
    """Run a preparing command to its end; `what` names it in the sentence when it fails."""
    child = Child(argv, log=log, cwd=cwd, env=env)
    try:
        child.wait(timeout_s=300)
    except BaseException:
        child.kill()
        raise
    if child.exit_code is None:
        child.kill()
        raise LauncherError(f"{what} did not end within 300 seconds; its log is {log}.")
    if child.exit_code != 0:
        raise LauncherError(f"{what} failed; the last lines of {log} are:\n{child.tail()}")


def _dying_with(parent: int, death_signal: signal.Signals) -> Callable[[], None] | None:
    """What the new process does before it becomes the server; None where the kernel has no such promise."""
    libc = _libc
    if libc is None:
        return None

    def promise() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:  # The launcher died before the promise was made: nobody would send the signal.
            os._exit(1)

    return promise


def _set_aside(log: Path) -> None:
    """Start a new log file when the old one has grown, keeping one predecessor."""
    if log.exists() and log.stat().st_size > _KEPT_LOG_BYTES:
        log.replace(log.with_name(log.name + ".1"))
