"""A process that has imported the whole service and forks a replica on request: a start costs a few milliseconds.

It holds no event loop, no thread and no client of PostgreSQL or Kafka: nothing that a fork would tear apart. It talks
JSON lines over the Unix socket it is told to connect to. Replicas die with it, and it dies with who started it.

| line in | line out |
|---|---|
| `{"id", "parts", "env", "log", "skew_s"}`: start a replica | `{"id", "pid"}` |
| | `{"ended": pid, "status"}`: a replica has ended, in the words of `os.waitstatus_to_exitcode` |
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo
from typing import Any, NoReturn

from order_service.parent import die_with_parent

PREFIX = "ORDER_SERVICE_"


def main() -> int:
    """Connect to the socket named on the command line and serve it until it is closed."""
    die_with_parent(signal.SIGKILL)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.connect(sys.argv[1])
    _warm_up()
    Server(line).run()
    return 0


def _warm_up() -> None:
    """Import and prepare all that a replica needs, so that it is shared and not made again by each."""
    from importlib import import_module

    from order_service.api.app import create_app
    from order_service.store.queries import FOLDER, query

    for name in ("uvloop", "order_service.wiring", "order_service.relay", "order_service.auth.callers"):
        import_module(name)
    for file in sorted(FOLDER.glob("*.sql")):
        query(file.stem)
    create_app(None, auth="off")  # type: ignore[arg-type]  # never asked anything: it fills the framework's caches
    gc.collect()
    gc.freeze()


class Server:
    """The loop of the process: requests from the socket, ends of replicas from the kernel."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._unread = b""
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._line, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker.fileno())

    def run(self) -> None:
        """Serve until the other end of the socket is closed."""
        self._say({"ready": True})
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._woken.recv(4096)
                    self._tell_ended()
                elif not self._serve():
                    return

    def _serve(self) -> bool:
        piece = self._line.recv(65536)
        if not piece:
            return False
        *lines, self._unread = (self._unread + piece).split(b"\n")
        for text in lines:
            wanted = json.loads(text)
            self._say({"id": wanted["id"], "pid": self._fork(wanted)})
        return True

    def _fork(self, wanted: dict[str, Any]) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_replica(parent, wanted)
        return pid

    def _become_replica(self, parent: int, wanted: dict[str, Any]) -> NoReturn:
        code = 1
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            die_with_parent(signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            for end in (self._line, self._woken, self._waker, self._selector):
                end.close()
            _write_to(wanted["log"])
            for name in [name for name in os.environ if name.startswith(PREFIX)]:
                del os.environ[name]
            os.environ.update(wanted["env"])
            if wanted["skew_s"]:
                skew_clock(wanted["skew_s"])
            code = _serve_orders(wanted["parts"])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException as fault:
            print(f"{type(fault).__name__}: {fault}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)

    def _tell_ended(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._say({"ended": pid, "status": os.waitstatus_to_exitcode(status)})

    def _say(self, word: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):
            self._line.sendall(json.dumps(word).encode() + b"\n")


def _serve_orders(parts: list[str]) -> int:
    from order_service import wiring
    from order_service.config import BadSettings, load_settings

    try:
        wiring.run_service(load_settings(), tuple(parts))
    except (BadSettings, wiring.CannotStart) as error:
        print(f"order-service: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def _write_to(log: str) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)


def skew_clock(seconds: float) -> None:
    """Make this process's time of day wrong by so many seconds, as a badly set machine's is; monotonic time stays."""
    true_time = time.time
    time.time = lambda: true_time() + seconds

    class Skewed(datetime):
        """The time of day as this process believes it."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=seconds)

    for name, module in list(sys.modules.items()):
        if name.startswith("order_service.partners") and getattr(module, "datetime", None) is datetime:
            module.datetime = Skewed  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
