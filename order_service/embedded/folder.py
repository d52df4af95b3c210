"""The folder of one server's data: who owns it, what it remembers, what still runs on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from order_service.embedded.errors import LauncherError, from_os_error
from order_service.embedded.processes import is_alive, kill_all, wait_gone

# A new PostgreSQL takes 40 MB and a new Kafka 2 MB; below this they fail half-way with words nobody understands.
_LEAST_FREE_BYTES = 200 * 1024 * 1024


class Folder:
    """A server's own folder inside the data folder, held by at most one launcher at a time.

    The hold is a lock of the operating system on the file `lock`: it ends with the process that took it,
    however that process ends, so nothing ever has to be cleaned up by hand.
    """

    def __init__(self, data_dir: Path, name: str) -> None:
        self.root = data_dir.expanduser().resolve() / name
        self.data = self.root / "data"
        self.logs = self.root.parent / "logs"
        self._lock: int | None = None

    def take(self) -> None:
        """Make the folder if needed and hold it; refuse when another launcher holds it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.logs.mkdir(exist_ok=True)
            lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise from_os_error(error, f"the data folder {self.root} could not be opened") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode(errors="replace").strip()
            os.close(lock)
            raise LauncherError(
                f"Another launcher (process {holder or 'unknown'}) already runs on {self.root}; "
                "stop it or choose another data folder."
            ) from None
        except OSError as error:
            # Going on without a lock would end the servers of another launcher as leftovers.
            os.close(lock)
            raise from_os_error(error, f"the data folder {self.root} could not be locked") from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock
        if shutil.disk_usage(self.root).free < _LEAST_FREE_BYTES:
            self.release()
            raise LauncherError(f"Less than {_LEAST_FREE_BYTES >> 20} MB are free on the disk of {self.root}.")

    def release(self) -> None:
        """Let the next launcher in; harmless when the folder is not held."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def remember(self, name: str, value: str) -> None:
        """Keep a short text for the next start."""
        (self.root / name).write_text(value + "\n")

    def recall(self, name: str) -> str | None:
        """The text an earlier start kept, or None."""
        try:
            return (self.root / name).read_text().strip()
        except FileNotFoundError:
            return None

    def recall_port(self, name: str) -> int | None:
        """The port an earlier start kept, or None when there is none or the file is damaged."""
        text = self.recall(name) or ""
        return int(text) if text.isascii() and text.isdigit() and 0 < int(text) < 65536 else None

    def end_leftovers(self, program: str) -> None:
        """End the processes of `program` that outlived an earlier launcher on this folder.

        Call it only while holding the folder: then no launcher that could own them is alive. Where the kernel
        told them of its death they are about to end; elsewhere this is the first they hear of it.
        """
        leftovers = list(self._processes(program))
        for process in leftovers:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGINT)
        kill_all(wait_gone(leftovers, timeout_s=10))

    def _processes(self, program: str) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            try:
                if process.name() == program and is_alive(process) and self._works_here(process):
                    yield process
            except psutil.Error:  # It ended meanwhile, or is none of this user's business.
                continue

    def _works_here(self, process: psutil.Process) -> bool:
        try:
            return bool(process.cwd() == str(self.data))
        except psutil.AccessDenied:
            # Another user's process under a root without all its powers: its command line is still readable.
            return str(self.data) in process.cmdline()
