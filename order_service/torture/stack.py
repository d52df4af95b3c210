"""A whole system of real parts in a folder of its own: PostgreSQL, Kafka, the sandbox partners, and any replicas.

    with Stack() as stack:
        one = stack.replica("one", PORT="0")
        stack.replica("two", only=("worker", "relay"))

Everything ends with the process that made it, however that ends; the folder is removed at the end, unless it is to
be kept. Use it from the main thread.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg

from order_service.embedded import Kafka, LauncherError, Postgres, ports
from order_service.embedded.child import Child
from order_service.embedded.postgres import USER
from order_service.store.migrate import migrate
from order_service.torture.disk import SmallDisk, release
from order_service.torture.replicas import Replica, Replicas

SHORT_LEASES = {"REQUEST_DEADLINE": "0.6", "PARTNER_TIMEOUT": "0.8", "LEASE": "1.2"}
"""Seconds. What a dead replica owed is taken over this soon, so that thousands of deaths fit into an hour."""

PARTS = ("api", "worker", "relay")
NONE: Mapping[str, str] = {}
_READY_WITHIN_S = 60.0
_TEMPLATE = "template_of_torture"
_PREFIX = "order-service-torture-"


class Stack:
    """The servers and partners of one run, and the fork server that starts its replicas.

    ``settings`` are those of the service, without their prefix; they go over ``SHORT_LEASES`` and the addresses, and
    each replica's own go over them. ``durable=False`` spares PostgreSQL the sync to disk: what dies here are
    processes, never the machine. Each commit is handed to the system before anybody is told of it all the same.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        durable: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.keep = folder is not None
        self.folder = folder or Path(tempfile.mkdtemp(prefix=_PREFIX))
        self.settings: dict[str, str] = SHORT_LEASES | dict(settings or {})
        self.postgres = Postgres(self.folder, durable=durable, progress=say)
        self.kafka = Kafka(self.folder, advertise_chaos=ports.free_port(), prepare_next_boot=False, progress=say)
        self.partners = f"http://127.0.0.1:{ports.free_port()}"
        self.database = ""
        self.topic = ""
        self.sandbox: Child | None = None
        self._chapter = 0
        self._say = say
        self._open = ExitStack()
        self._replicas: Replicas | None = None

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._own()
        _remove_left_behind()
        try:
            self._start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _start(self) -> None:
        self._replicas = Replicas(self.folder)
        self._open.callback(self._replicas.close)
        self._say("Starting PostgreSQL.")
        self._open.callback(self.postgres.stop, "immediate")
        self.postgres.start()
        self._say("Starting Kafka.")
        self._open.callback(self._end_kafka)
        self.kafka.start()
        template = self.postgres.create_database(_TEMPLATE)
        asyncio.run(_execute(template, f"ALTER ROLE {USER} SET synchronous_commit = on"))
        asyncio.run(migrate(template))
        self._open.callback(self.stop_sandbox, signal.SIGKILL)
        self._replicas.wait_ready()
        self.new_chapter()

    def _own(self) -> None:
        """Hold a lock in the folder that ends with this process, so that others see whether it is still needed."""
        lock = os.open(self.folder / "owner", os.O_RDWR | os.O_CREAT, 0o644)
        self._open.callback(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _end_kafka(self) -> None:
        if self.kafka.running:
            self.kafka.kill()

    def _close(self) -> None:
        self._open.close()
        release(self.folder)
        if self.keep:
            (self.folder / "owner").unlink(missing_ok=True)  # not left behind, but kept
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- one story at a time ---

    def new_chapter(self, disk: SmallDisk | None = None) -> None:
        """Begin again with an empty database, topic and ledger; replicas of the old ones are killed.

        What was verified needs not be read again and again by every later verification. The database lies on the
        small disk if there is one.
        """
        for replica in self.alive():
            replica.kill()
        old = self.database
        self._chapter += 1
        name = f"orders_{self._chapter}"
        self.database = self.postgres.create_database(name, template=_TEMPLATE)
        if disk is not None:
            address = self.postgres.dsn("postgres")
            asyncio.run(_execute(address, f"CREATE TABLESPACE {name} LOCATION '{disk.room(name)}'"))
            asyncio.run(_execute(address, f"ALTER DATABASE {name} SET TABLESPACE {name}"))
        self.topic = f"orders.{self._chapter}.{secrets.token_hex(4)}"
        if self.sandbox is not None:
            self.stop_sandbox(signal.SIGKILL)
        self.start_sandbox()
        if old:
            self.postgres.drop_database(f"orders_{self._chapter - 1}")

    # --- partners ---

    def start_sandbox(self) -> None:
        """Start the partners, on the ledger of this chapter, and return when they answer."""
        port = self.partners.rpartition(":")[2]
        data = self.folder / f"sandbox-{self._chapter}"
        command = (sys.executable, "-m", "order_service.sandbox", "--port", port, "--data", data, "--die-with-parent")
        self.sandbox = Child(command, log=self.log("sandbox"), cwd=self.folder, env=os.environ)
        _await(f"{self.partners}/health", lambda: self._sandbox_lives("The sandbox"))

    def stop_sandbox(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the partners by this signal; what they did is in their journal."""
        if self.sandbox is not None:
            self.sandbox.stop([(number, 5.0)])

    def _sandbox_lives(self, what: str) -> None:
        assert self.sandbox is not None
        if self.sandbox.exit_code is not None:
            raise LauncherError(f"{what} ended while starting; the last lines were:\n{self.sandbox.tail()}")

    def partner(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the sandbox, or pull one of its levers."""
        request = urllib.request.Request(  # noqa: S310 - our own loopback address
            f"{self.partners}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    # --- replicas ---

    @property
    def replicas(self) -> Replicas:
        """The fork server's side of all replicas, dead ones included."""
        assert self._replicas is not None
        return self._replicas

    def replica(
        self,
        name: str,
        *,
        only: tuple[str, ...] = PARTS,
        shared: bool = False,
        skew_s: float = 0,
        settings: Mapping[str, str] = NONE,
        **more: str,
    ) -> Replica:
        """Start a replica, without waiting for it; ``name`` names its log.

        ``settings`` and ``more`` are settings without prefix.

        It listens on a free port of its own unless PORT is among the settings; ``shared``: others may listen there
        too. ``skew_s``: its time of day is wrong by so many seconds.
        """
        wanted = self.service_settings(**({"PORT": str(ports.free_port())} | dict(settings) | more))
        if shared:
            wanted["SHARE_PORT"] = "on"
        env = {f"ORDER_SERVICE_{key}": value for key, value in wanted.items()}
        return self.replicas.start(name, only, env, self.log(name), skew_s)

    def service_settings(self, **more: str) -> dict[str, str]:
        """All settings of a replica, without their prefix."""
        addresses = {
            "DATABASE_URL": self.database,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap,
            "PAYMENT_URL": self.partners,
            "INVENTORY_URL": self.partners,
            "CART_URL": self.partners,
            "EVENTS_TOPIC": self.topic,
            "AUTH": "off",
            "DATA_DIR": str(self.folder),
        }
        return addresses | self.settings | more

    def alive(self) -> list[Replica]:
        """The replicas that have not ended."""
        return self.replicas.alive()

    def log(self, name: str) -> Path:
        """Where a process writes its lines."""
        folder = self.folder / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}.log"

    def endpoints(self) -> dict[str, str]:
        """The environment in which our own commands (verify, show) find this system."""
        env = {f"ORDER_SERVICE_{name}": value for name, value in self.service_settings().items()}
        return {name: value for name, value in os.environ.items() if not name.startswith("ORDER_SERVICE_")} | env


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _await(url: str, look: Callable[[], None]) -> None:
    """Wait until the address answers 200; ``look`` raises when there is no more hope."""
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline:
        look()
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own loopback address
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.02)
    raise LauncherError(f"{url} did not answer within {_READY_WITHIN_S:.0f} seconds.")


def _remove_left_behind() -> None:
    """Remove the folders of runs that were killed before they could do it: nobody holds their lock any more."""
    for owner in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/owner"):
        with suppress(OSError), owner.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            release(owner.parent)
            shutil.rmtree(owner.parent, ignore_errors=True)
