"""Replicas of the service as processes: started by the fork server, ended by whoever likes to."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from order_service.embedded.child import Child
from order_service.embedded.errors import LauncherError

_START_WITHIN_S = 30.0


class Replica:
    """One process of the service. ``exit_code`` is negative when a signal ended it, None while it lives."""

    def __init__(self, name: str, port: int, log: Path, *, shared: bool) -> None:
        self.name = name
        self._shared = shared
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self.pid = 0
        self.exit_code: int | None = None
        self.ended_at_s = 0.0
        """``time.monotonic`` when its end was told; 0 before."""
        self._ended = threading.Event()

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.exit_code is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; harmless when it has ended."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait(10)

    def stop(self, within_s: float = 30) -> int:
        """SIGTERM, and its exit code after the drain."""
        self.signal(signal.SIGTERM)
        if not self.wait(within_s):
            raise LauncherError(f"Replica {self.name} did not end within {within_s:.0f} seconds; see {self.log}.")
        assert self.exit_code is not None
        return self.exit_code

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within the time."""
        return self._ended.wait(timeout_s)

    def ready(self) -> bool:
        """Whether it takes requests; of one that shares its port only the kernel can tell who answers."""
        if self._shared:
            return self._listens()
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)
        except OSError:
            return False

    def _listens(self) -> bool:
        try:
            mine = psutil.Process(self.pid).net_connections(kind="tcp")
        except psutil.Error:
            return False
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == self.port for one in mine)

    def wait_ready(self, within_s: float = _START_WITHIN_S) -> None:
        """Return when it takes requests; raises when it ends instead."""
        deadline = time.monotonic() + within_s
        while not self.ready():
            if not self.alive:
                raise LauncherError(f"Replica {self.name} ended ({self.exit_code}) while starting; see {self.log}.")
            if time.monotonic() > deadline:
                raise LauncherError(f"Replica {self.name} was not ready within {within_s:.0f} seconds; see {self.log}.")
            time.sleep(0.01)

    def tell_ended(self, status: int) -> None:
        """The fork server says that it is over."""
        self.exit_code = status
        self.ended_at_s = time.monotonic()
        self._ended.set()


class Replicas:
    """All replicas of a run, and the line to the fork server. ``on_end`` are told of each end, in a thread of ours."""

    def __init__(self, folder: Path) -> None:
        self.on_end: list[Callable[[Replica], None]] = []
        self.started = 0
        self._by_pid: dict[int, Replica] = {}
        self._early: dict[int, int] = {}
        self._answers: dict[int, int] = {}
        self._changed = threading.Condition()
        self._ready = False
        self._lost = False
        self._server, self._line = _launch(folder)
        self._reader = threading.Thread(target=self._read, name="fork-server", daemon=True)
        self._reader.start()

    @property
    def server_pid(self) -> int:
        """The process number of the fork server: every replica's parent."""
        return self._server.pid

    def wait_ready(self) -> None:
        """Return when the fork server has imported everything."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._lost, _START_WITHIN_S)
        if not self._ready:
            raise LauncherError(f"The fork server did not start; the last lines were:\n{self._server.tail()}")

    def start(self, name: str, parts: tuple[str, ...], env: dict[str, str], log: Path, skew_s: float = 0) -> Replica:
        """Fork a replica; it may not be ready yet when this returns. From any thread."""
        replica = Replica(name, int(env["ORDER_SERVICE_PORT"]), log, shared="ORDER_SERVICE_SHARE_PORT" in env)
        with self._changed:
            self.started += 1
            number = self.started
            wanted = {"id": number, "parts": parts, "env": env, "log": str(log), "skew_s": skew_s}
            self._line.sendall(json.dumps(wanted).encode() + b"\n")
            if not self._changed.wait_for(lambda: number in self._answers or self._lost, _START_WITHIN_S):
                raise LauncherError("The fork server does not answer.")
            if number not in self._answers:
                raise LauncherError(f"The fork server has ended; the last lines were:\n{self._server.tail()}")
            replica.pid = self._answers.pop(number)
            self._by_pid[replica.pid] = replica
            if replica.pid in self._early:
                self._end(replica.pid, self._early.pop(replica.pid))
        return replica

    def alive(self) -> list[Replica]:
        """Those that have not ended."""
        with self._changed:
            return list(self._by_pid.values())

    def close(self) -> None:
        """Kill everything."""
        for replica in self.alive():
            replica.signal(signal.SIGKILL)
        for replica in self.alive():
            replica.wait(5)
        self._server.kill()
        self._line.close()

    def _read(self) -> None:
        with suppress(OSError), self._line.makefile("rb") as lines:
            for line in lines:
                word = json.loads(line)
                with self._changed:
                    ended = self._take(word)
                    self._changed.notify_all()
                if ended is not None:
                    for told in self.on_end:
                        told(ended)
        with self._changed:
            self._lost = True
            self._changed.notify_all()

    def _take(self, word: dict[str, int]) -> Replica | None:
        if "ended" in word:
            return self._end(word["ended"], word["status"])
        if "ready" in word:
            self._ready = True
        else:
            self._answers[word["id"]] = word["pid"]
        return None

    def _end(self, pid: int, status: int) -> Replica | None:
        replica = self._by_pid.pop(pid, None)
        if replica is None:
            self._early[pid] = status  # it ended before its start was told
        else:
            replica.tell_ended(status)
        return replica


def _launch(folder: Path) -> tuple[Child, socket.socket]:
    address = folder / "fork.sock"
    address.unlink(missing_ok=True)
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(address))
        door.listen(1)
        door.settimeout(_START_WITHIN_S)
        command = (sys.executable, "-m", "order_service.torture.forkserver", address)
        server = Child(command, log=folder / "logs" / "fork-server.log", cwd=folder, env=os.environ)
        try:
            line, _ = door.accept()
        except OSError as error:
            server.kill()
            raise LauncherError(f"The fork server did not start; the last lines were:\n{server.tail()}") from error
    line.settimeout(None)
    return server, line
