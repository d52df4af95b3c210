"""A real Apache Kafka for a laptop and for the tests: one broker that is its own controller (KRaft)."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from order_service.embedded import java, ports
from order_service.embedded.child import Child, run_once
from order_service.embedded.errors import LauncherError, from_os_error
from order_service.embedded.folder import Folder
from order_service.embedded.jars import JarCache

_START_TIMEOUT_S = 120
# A Kafka told to stop while it starts was seen to hang for over 100 seconds; killing it is safe.
_STOP_PATIENCE_S = 25.0
_PORT_ATTEMPTS = 3
_READY = "Kafka Server started"

_HEAP = ["-Xms96m", "-Xmx256m", "-XX:MaxDirectMemorySize=64m"]

_LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
"""


def _silent(_: str) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True)
class _Ports:
    broker: int
    controller: int
    chaos: int


class Kafka:
    """One Kafka broker on its own data, listening on the loopback interface only.

    `data_dir` is the launcher's data folder: this server uses `data_dir/kafka` and writes its log to
    `data_dir/logs/kafka.log`. A port that is not given is chosen once and kept while it stays free.
    `advertise_chaos` opens a second listener, on `chaos_port`, whose clients are told to go on at the advertised
    port: a proxy there, forwarding to `chaos_port`, then sees all that they say.
    `progress` is told, in one sentence each, what takes noticeable time. Program files come from the cache of
    this user, or from the data folder when there is none.

    `prepare_next_boot` makes, after the first start ever, the cache that halves the time of later ones: by a
    process of lowest priority in the background (about 10 seconds of one core), because Java's own way, at the
    stop, would let a Ctrl-C look hung for as long. It costs more than a test run can win back, so tests say no.

    Use it from the main thread. The server ends with the launcher, also when the launcher is killed.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        advertise_chaos: int | None = None,
        prepare_next_boot: bool = True,
        progress: Callable[[str], None] = _silent,
    ) -> None:
        self._folder = Folder(data_dir, "kafka")
        self._wanted_port = port
        self._advertise_chaos = advertise_chaos
        self._prepare_next_boot = prepare_next_boot
        self._progress = progress
        self._ports: _Ports | None = None
        self._server: Child | None = None
        self._preparation: Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the server that this launcher started is alive."""
        return self._server is not None and self._server.exit_code is None

    @property
    def pid(self) -> int:
        """The process number of the server."""
        return self._started().pid

    @property
    def bootstrap(self) -> str:
        """The address clients connect to."""
        return f"{ports.HOST}:{self._chosen().broker}"

    @property
    def chaos_port(self) -> int:
        """The port of the second listener, to which a proxy forwards."""
        if self._advertise_chaos is None:
            raise RuntimeError("This Kafka was made without `advertise_chaos`.")
        return self._chosen().chaos

    @property
    def advertised_chaos_port(self) -> int:
        """The port that clients of the second listener are told to use, where a proxy listens."""
        if self._advertise_chaos is None:
            raise RuntimeError("This Kafka was made without `advertise_chaos`.")
        return self._advertise_chaos

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._folder.logs / "kafka.log"

    def start(self) -> None:
        """Start the server, fetching its program and making its data first if there is none.

        Returns when the server serves clients. A crash of an earlier run needs no attention.
        """
        self._folder.take()
        try:
            program = self._find_program()
            self._folder.end_leftovers("java")
            self._clear_scratch()
            self._boot(program)
            self._prepare(program)
        except BaseException:
            self._kill_everything()
            self._let_go()
            raise

    def stop(self) -> None:
        """Stop the server, killing it when it has not obeyed after 25 seconds. Harmless when nothing runs."""
        if self._preparation is not None:
            self._preparation.kill()
        if self._server is not None:
            self._server.stop([(signal.SIGTERM, _STOP_PATIENCE_S)])
        self._let_go()

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        self._started()
        self._kill_everything()
        self._let_go()

    def _started(self) -> Child:
        if self._server is None:
            raise RuntimeError("Kafka is not running.")
        return self._server

    def _chosen(self) -> _Ports:
        if self._ports is None:
            raise RuntimeError("Kafka has no ports before its first start.")
        return self._ports

    def _kill_everything(self) -> None:
        for child in (self._preparation, self._server):
            if child is not None:
                child.kill()

    def _let_go(self) -> None:
        self._server = self._preparation = None
        self._folder.release()

    def _find_program(self) -> Program:
        cache_dir = user_cache(self._folder.root.parent)
        jars = JarCache(cache_dir / "jars")
        found = java.find_java()
        jars.fill(self._progress)
        return Program(found, cache_dir, jars.paths())

    def _clear_scratch(self) -> None:
        """Give Java an empty folder for temporary files: what a killed one unpacked there is never removed."""
        try:
            shutil.rmtree(self._folder.root / "tmp", ignore_errors=True)
            (self._folder.root / "tmp").mkdir()
            (self._folder.root / "log4j2.properties").write_text(_LOGGING)
        except OSError as error:
            raise from_os_error(error, f"the data folder {self._folder.root} could not be written") from error

    def _boot(self, program: Program) -> None:
        """Start the server; other ports are tried when somebody took a chosen one in between."""
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self._ports = self._choose_ports()
            self._write_settings(self._ports)
            self._format(program)
            self._server = self._spawn(program)
            if self._wait_until_ready(self._server):
                self._remember(self._ports)
                return
            taken = "Address already in use" in self._server.output()
            if not taken or self._wanted_port is not None or attempt == _PORT_ATTEMPTS:
                raise LauncherError(f"Kafka did not start; the last lines of {self.log} are:\n{self._server.tail()}")

    def _choose_ports(self) -> _Ports:
        remembered = self._folder.recall_port
        if self._wanted_port is not None:
            broker = ports.demand(self._wanted_port, "Kafka")
        else:
            broker = ports.free_port(remembered("port"))
        taken = frozenset({broker, self._advertise_chaos or broker})
        controller = ports.free_port(remembered("controller-port"), avoid=taken)
        chaos = ports.free_port(remembered("chaos-port"), avoid=taken | {controller})
        return _Ports(broker, controller, chaos)

    def _remember(self, chosen: _Ports) -> None:
        self._folder.remember("port", str(chosen.broker))
        self._folder.remember("controller-port", str(chosen.controller))
        self._folder.remember("chaos-port", str(chosen.chaos))

    def _write_settings(self, chosen: _Ports) -> None:
        settings = _settings(self._folder.data, chosen, self._advertise_chaos)
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        (self._folder.root / "server.properties").write_text(text)

    def _format(self, program: Program) -> None:
        """Make the data if there is none; the file `meta.properties` is written last, so it means "whole"."""
        if (self._folder.data / "meta.properties").exists():
            return
        self._progress("Kafka: making a new log, about 1 second.")
        shutil.rmtree(self._folder.data, ignore_errors=True)
        self._folder.data.mkdir()
        run_once(
            [
                *self._java(program),
                "kafka.tools.StorageTool",
                "format",
                "-t",
                _new_cluster_id(),
                "-c",
                self._settings_file(),
            ],
            log=self._folder.logs / "kafka-format.log",
            cwd=self._folder.data,
            env=java.environment(),
            what="Making a new Kafka log",
        )

    def _spawn(self, program: Program) -> Child:
        return Child(
            [*self._java(program), "kafka.Kafka", self._settings_file()],
            log=self.log,
            cwd=self._folder.data,
            env=java.environment(),
            # Not a polite signal: during a start that can hang for minutes, and there is nobody left to kill it.
            death_signal=signal.SIGKILL,
        )

    def _java(self, program: Program) -> list[str]:
        options = [
            f"-Dlog4j2.configurationFile={self._folder.root / 'log4j2.properties'}",
            f"-Djava.io.tmpdir={self._folder.root / 'tmp'}",
            *_HEAP,
        ]
        return program.java.command(program.jars, [*options, *self._aot_options(program)])

    def _aot_options(self, program: Program) -> list[str]:
        return java.use_cache(program.aot_cache)

    def _settings_file(self) -> str:
        return str(self._folder.root / "server.properties")

    def _wait_until_ready(self, server: Child) -> bool:
        """Whether the server came to serve clients, by its own word in its own log; False when it ended instead."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if server.exit_code is not None:
                return False
            if _READY in server.output():
                return True
            time.sleep(0.02)
        raise LauncherError(f"Kafka was not ready within {_START_TIMEOUT_S} seconds; its log is {self.log}.")

    def _prepare(self, program: Program) -> None:
        """Begin to make the boot cache in the background if it is wanted and not there."""
        if not self._prepare_next_boot or program.aot_cache is None or program.aot_cache.exists():
            return
        self._preparation = Child(
            [sys.executable, "-m", "order_service.embedded.prepare", self._folder.root.parent],
            log=self._folder.logs / "kafka-prepare.log",
            cwd=self._folder.root,
            env=java.environment(),
        )


@dataclass(frozen=True)
class Program:
    """What it takes to run Kafka: a Java, the jars, and the folder of caches they came from."""

    java: java.Java
    cache_dir: Path
    jars: list[Path]

    @property
    def aot_cache(self) -> Path | None:
        """Where the boot cache for these lies, or would lie; None when this Java has none."""
        return self.java.aot_cache(self.cache_dir, self.jars)


def user_cache(data_dir: Path) -> Path:
    """This user's cache folder, or one in the data folder for a user who has none or may not write there."""
    for base in _cache_bases():
        folder = base / "order-service"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    return data_dir / "cache"


def _cache_bases() -> list[Path]:
    named = [os.environ.get("XDG_CACHE_HOME", ""), os.environ.get("HOME", "")]
    bases = [Path(named[0]), Path(named[1], ".cache")]
    return [base for base, name in zip(bases, named, strict=True) if name.startswith("/")]


def _new_cluster_id() -> str:
    """A random name in Kafka's alphabet whose first letter is never `-`, which Kafka's tools take for an option."""
    drawn = bytearray(uuid.uuid4().bytes)
    drawn[0] &= 0b0111_1111  # The first letter stands for the first six bits, `-` for 111110.
    return base64.urlsafe_b64encode(drawn).decode().rstrip("=")


def _settings(data: Path, chosen: _Ports, advertise_chaos: int | None) -> dict[str, str | int | Path]:
    listeners = {"PLAINTEXT": chosen.broker, "CONTROLLER": chosen.controller}
    advertised = {"PLAINTEXT": chosen.broker}
    if advertise_chaos is not None:
        listeners["CHAOS"] = chosen.chaos
        advertised["CHAOS"] = advertise_chaos
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@{ports.HOST}:{chosen.controller}",
        "listeners": _addresses(listeners),
        "advertised.listeners": _addresses(advertised),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
        "log.dirs": data,
        "num.partitions": 3,
        "num.network.threads": 2,
        "num.io.threads": 2,
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        # A restart after a crash waits until the old registration has expired: 9 seconds by default.
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 500,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    }


def _addresses(listeners: dict[str, int]) -> str:
    return ",".join(f"{name}://{ports.HOST}:{port}" for name, port in listeners.items())
