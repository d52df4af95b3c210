"""What else happens to a service: frozen processes, wrong clocks, lying partners, servers that go away.

Each function is one scenario, played while the crowd goes on. It ends when orders are placed and paid again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import asyncpg
import psutil  # type: ignore[import-untyped]

from order_service.torture.disk import forbid_writing
from order_service.torture.replicas import Replica
from order_service.torture.run import Broken, Run, Scenario
from order_service.torture.stack import SHORT_LEASES

FROZEN_S = 3 * float(SHORT_LEASES["LEASE"])
"""Longer than two leases: somebody else has long taken over when the zombie wakes up."""

SKEWS_S = (3_600.0, -3_600.0, 90_000.0)
AWAY_S = 2.0
NOTICED_WITHIN_S = 45.0
_RECOVERY_KILLS = 6
_CUTS_S = 5.0
_END_OTHERS = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""
_OTHERS = "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"


def kill_during_recovery(run: Run) -> None:
    """Replicas that only do what the dead owed die themselves, before or after the first call that they make."""
    with run.scenario("SIGKILL during recovery") as told:
        places = [place for place in sorted(run.executioner.points.all) if place.point.startswith("http.")]
        died = 0
        end = time.monotonic() + 60
        rescuers: list[Replica] = []
        while died < _RECOVERY_KILLS and time.monotonic() < end:
            while len(rescuers) < 3:
                plan = ";".join(f"{place}:{run.dice.choice((1, 1, 2))}=kill" for place in places)
                rescuers.append(run.stack.replica("rescuer", only=("worker",), settings={"FAULTS": plan}))
            stranding = [run.dice.choice(places) for _ in range(3)]
            run.executioner.kill_at(stranding, until=time.monotonic() + 5)
            died += sum(replica.exit_code == -signal.SIGKILL for replica in rescuers)
            rescuers = [replica for replica in rescuers if replica.alive]
        for replica in rescuers:
            replica.kill()
        if died < _RECOVERY_KILLS:
            raise Broken(f"only {died} replicas could be killed while they recovered")
        run.report.faults["kill during recovery"] += died
        told.append(f"{died} rescuers killed at the call that they took over")
        run.goes_on()


def zombies(run: Run) -> None:
    """Replicas that freeze at a point, or at any moment, and wake up when their leases have long run out."""
    with run.scenario(f"SIGSTOP for {FROZEN_S:.1f} s, then SIGCONT") as told:
        places = sorted(run.executioner.points.all)
        chosen = [next(p for p in places if p.point == "sql.commit"), run.dice.choice(places), None, None]
        sleepers = []
        for place in chosen:
            plan = {} if place is None else {"FAULTS": f"{place}:{run.dice.randint(3, 9)}=stop"}
            sleepers.append(run.stack.replica("sleeper", settings=plan))
            run.workload.add(sleepers[-1])
        time.sleep(1.5)
        for replica, place in zip(sleepers, chosen, strict=True):
            if place is None or not _frozen(replica):
                replica.signal(signal.SIGSTOP)
        time.sleep(FROZEN_S)
        for replica in sleepers:
            replica.signal(signal.SIGCONT)
        time.sleep(1.5)
        run.report.faults["freeze"] += len(sleepers)
        told.append(f"{len(sleepers)} replicas slept and woke up")
        run.goes_on()
        run.end(sleepers)


def _frozen(replica: Replica) -> bool:
    return bool(psutil.Process(replica.pid).status() == psutil.STATUS_STOPPED)


def wrong_clocks(run: Run) -> None:
    """Replicas whose time of day is an hour late, an hour early, and a day and an hour early."""
    with run.scenario("clocks wrong by +1 h, -1 h, +25 h") as told:
        replicas = [run.stage.replica(skew_s=skew_s) for skew_s in SKEWS_S]
        run.goes_on(60)
        run.end(replicas)
        run.report.faults["wrong clock"] += len(replicas)
        told.append(f"{len(replicas)} replicas took part")


def cuts(run: Run) -> None:
    """Connections that are lost before and after the statement or the call took effect."""
    with run.scenario("connections cut before and after the effect") as told:
        places = [p for p in sorted(run.executioner.points.all) if p.point.startswith(("sql.", "http."))]
        seen = run.stack.folder / "cuts-seen"
        seen.write_text("")
        run.dice.shuffle(places)
        replicas = []
        for n in range(3):
            # Not at the first passings: those belong to the start, which a replica may refuse then.
            plan = ";".join(f"{place}:{run.dice.randint(3, 8)}=cut" for place in places[n::3])
            replicas.append(run.stack.replica("cut", settings={"FAULTS": plan, "FAULTS_SEEN": str(seen)}))
            run.workload.add(replicas[-1])
        time.sleep(_CUTS_S)
        cut = [name for name in seen.read_text().split() if name.endswith("=cut")]
        run.report.faults["cut"] += len(cut)
        told.append(f"{len(cut)} at {len(set(cut))} of {len(places)} places")
        for phase in ("before", "after"):
            if not any(name.startswith("sql.") and name.endswith(f"{phase}=cut") for name in cut):
                raise Broken(f"no statement's connection was cut {phase} it took effect")
        run.goes_on()
        run.end(replicas)


def partners_restart(run: Run) -> None:
    """The partners' process is killed, and comes back with what it wrote down."""
    with run.scenario("partners killed and restarted") as told:
        run.stack.stop_sandbox(signal.SIGKILL)
        time.sleep(AWAY_S)
        run.stack.start_sandbox()
        run.report.faults["partners killed"] += 1
        told.append(f"{AWAY_S:.0f} s away")
        run.goes_on()


# --- PostgreSQL ---


def database_restarts(run: Run) -> None:
    """A fast restart, and one that skips the tidying."""
    for mode in ("fast", "immediate"):
        with run.scenario(f"PostgreSQL restarted, {mode}"):
            run.stack.postgres.stop("fast" if mode == "fast" else "immediate")
            run.stack.postgres.start()
            run.report.faults[f"database restart, {mode}"] += 1
            run.goes_on()


def backends_die(run: Run) -> None:
    """Sessions are ended by the administrator, and one backend by SIGKILL, which takes all others along."""
    with run.scenario("PostgreSQL: sessions ended, one backend killed") as told:
        ended = 0
        for _ in range(4):
            ended += len(asyncio.run(_backends(run, _END_OTHERS)))
            time.sleep(0.5)
        run.goes_on()
        pids = asyncio.run(_backends(run, _OTHERS))
        os.kill(run.dice.choice(sorted(pids)), signal.SIGKILL)
        run.report.faults["session ended"] += ended
        run.report.faults["backend killed"] += 1
        told.append(f"{ended} sessions ended")
        run.goes_on()


async def _backends(run: Run, query: str) -> list[int]:
    connection = await asyncpg.connect(run.stack.database)
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        with suppress(asyncpg.PostgresError, OSError):
            await connection.close()


def disk_full(run: Run) -> None:
    """The tables' disk has no byte left, and later it has again. Only where a small one may be mounted."""
    disk = run.disk
    if disk is None:
        return
    with run.scenario("disk full: ENOSPC for tables") as told:
        since = _complaints(run, "No space left on device")
        disk.fill()
        try:
            _until(lambda: _complaints(run, "No space left on device") > since, "the full disk")
            time.sleep(AWAY_S)
        finally:
            disk.empty()
        run.report.faults["disk full"] += 1
        refused = _complaints(run, "No space left on device") - since
        told.append(f"{refused} statements refused in {AWAY_S:.0f} s")
        run.goes_on()


def writing_forbidden(run: Run) -> None:
    """The log of writes cannot be written, from which PostgreSQL saves itself by a crash of all of its sessions."""
    with run.scenario("disk full: no write to the log of writes") as told:
        # A session that gives up this way can write no word of it; the first process of the server can.
        given_up = "was terminated by signal 6"
        since = _complaints(run, given_up)
        sessions = forbid_writing(asyncio.run(_backends(run, _OTHERS)))
        _until(lambda: _complaints(run, given_up) > since, "the log that could not be written")
        run.report.faults["writing forbidden"] += 1
        told.append(f"RLIMIT_FSIZE 0 for {sessions} sessions, {_complaints(run, given_up) - since} of them panicked")
        run.goes_on()


def _complaints(run: Run, words: str) -> int:
    """How often PostgreSQL's log has these words by now."""
    return run.stack.postgres.log.read_text(errors="replace").count(words)


def _until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + NOTICED_WITHIN_S
    while not holds():
        if time.monotonic() > end:
            raise Broken(f"PostgreSQL did not notice {what} within {NOTICED_WITHIN_S:.0f} s")
        time.sleep(0.1)


# --- Kafka ---


def broker_dies(run: Run) -> None:
    """The broker is killed and comes back; orders are taken meanwhile."""
    with run.scenario("Kafka killed and restarted") as told:
        run.stack.kafka.kill()
        run.goes_on()
        run.stack.kafka.start()
        run.report.faults["broker killed"] += 1
        told.append("orders went on without it")


def broker_freezes(run: Run) -> None:
    """The broker says nothing for a while, and then is slow."""
    with run.scenario("Kafka frozen, then slow") as told:
        pid = run.stack.kafka.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(FROZEN_S)
            run.goes_on()
        finally:
            os.kill(pid, signal.SIGCONT)
        for _ in range(12):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.25)
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.08)
        run.report.faults["broker frozen"] += 1
        run.report.faults["broker slow"] += 1
        told.append(f"{FROZEN_S:.1f} s of silence, orders went on without it")


PROCESSES: Sequence[Scenario] = (kill_during_recovery, zombies, wrong_clocks, cuts, partners_restart)
SERVERS: Sequence[Scenario] = (
    disk_full,
    writing_forbidden,
    backends_die,
    database_restarts,
    broker_dies,
    broker_freezes,
)
