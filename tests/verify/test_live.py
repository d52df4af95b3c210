"""The command on a running system: under load it finds nothing wrong, and it says plainly what it cannot see."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from click.testing import Result
from typer.testing import CliRunner

from order_service.cli import app
from order_service.embedded import Kafka, Postgres
from tests.system.harness import System
from tests.verify.base import SETTLED, lines


@pytest.fixture(scope="module")
def system(
    postgres: Postgres, kafka: Kafka, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """One running system for all of this file."""
    dsn = postgres.create_database("verify_live", template=template_database)
    with System(dsn, kafka.bootstrap, tmp_path_factory.mktemp("live")) as running:
        running.start_service(REQUEST_DEADLINE="1")
        yield running
    postgres.drop_database("verify_live")


class _Load:
    """Customers and staff at work, until they are told to stop."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._stop = threading.Event()
        self._people = [threading.Thread(target=self._work, args=(n,)) for n in range(4)]
        self.orders = 0

    def __enter__(self) -> _Load:
        for one in self._people:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for one in self._people:
            one.join(60)

    def _work(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self._stop.is_set():
            with suppress(AssertionError):
                order_id = self._system.place()["id"]
                self.orders += 1
                self._system.pay(
                    order_id, chance.choice(["tok_visa", "tok_visa", "tok_declined", "tok_refund_pending"])
                )
                if chance.random() < 0.5:
                    self._system.call("POST", f"/api/v1/orders/{order_id}/cancel", {})
                else:
                    self._system.put(order_id, "processing")


def test_a_verification_under_load_finds_no_violation_and_settles_afterwards(system: System) -> None:
    with _Load(system) as load:
        system.until(lambda: load.orders > 8)
        under_load = [command(system, "--json") for _ in range(2)]
    for ran in under_load:
        told = json.loads(ran.stdout)
        assert [i for i in told["invariants"] if i["violations"]] == []
        assert ran.exit_code == 0, ran.stderr
    assert any(i["inFlight"]["count"] for ran in under_load for i in json.loads(ran.stdout)["invariants"])
    settled = command(system, "--settle", "30")
    assert settled.exit_code == 0, settled.stdout
    assert "invariants hold" in settled.stdout


def test_files_in_place_of_ledgers(system: System) -> None:
    system.until(lambda: not system.rows(SETTLED))
    ledger = system.ledger()
    charge = next(e for e in reversed(ledger) if e["kind"] == "charge")
    report, stock = system.folder / "payments.jsonl", system.folder / "stock.jsonl"
    stock.write_text("".join(lines(ledger)))
    for entries, code in ((ledger, 0), ([e for e in ledger if e is not charge], 1)):
        report.write_text("".join(lines(entries)))
        ran = command(system, "--payments", str(report), "--reservations", str(stock))
        assert ran.exit_code == code, ran.stdout
    assert "M3 no-phantom-payments" in ran.stdout
    assert charge["orderId"] in ran.stdout


def test_a_source_that_is_absent_is_said_and_has_to_be_left_out_by_name(system: System) -> None:
    ran = command(system, PAYMENT_URL=system.api)
    assert ran.exit_code == 2
    assert "not looked at" in ran.stdout
    named = command(system, "--without", "payments", PAYMENT_URL=system.api)
    assert named.exit_code == 0, named.stdout


def test_what_cannot_be_looked_at_at_all_is_said_in_a_sentence(system: System) -> None:
    away = command(system, DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
    assert (away.exit_code, away.stdout) == (2, "")
    assert away.stderr.startswith("order-service: the database does not answer")
    assert command(system, "--without", "weather").exit_code == 2
    assert command(system, "--payments", "none.csv").exit_code == 2


def test_what_waits_for_a_person_is_parked_also_while_a_closed_attempt_is_still_to_be_read_once_more(
    system: System,
) -> None:
    order_id = system.place()["id"]
    assert system.pay(order_id, "tok_declined").status == 402
    assert system.pay(order_id, "tok_refund_fails").status == 200
    assert system.call("POST", f"/api/v1/orders/{order_id}/cancel", {}).status == 200
    system.until(lambda: system.get(order_id)["attention"] is not None)
    assert system.rows("select 1 from partner_calls where kind = 'late_check' and state = 'open'") != []
    ran = command(system, "--settle", "5", "--json")
    assert ran.exit_code == 0, ran.stdout
    found = {i["invariant"]: i for i in json.loads(ran.stdout)["invariants"]}
    for name in ("M4 dead-orders-net-zero", "M4 dead-orders-owe-nothing"):
        assert (found[name]["inFlight"]["count"], found[name]["parked"]["count"]) == (0, 1)


def test_what_is_asked_for_ever_does_not_settle(system: System) -> None:
    order_id = system.place()["id"]
    assert system.pay(order_id, "tok_3ds").status == 202
    ran = command(system, "--settle", "1")
    assert ran.exit_code == 1
    assert order_id in ran.stdout
    assert "still in flight" in ran.stdout


def command(system: System, *options: str, **env: str) -> Result:
    """Run the command in this process: its own start is tried elsewhere."""
    return CliRunner().invoke(app, ["verify", *options], env=system.service_env(**env))
