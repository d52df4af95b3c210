"""Thousands of requests in an order that chance chose: each answer is one that the documents allow."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from typer.testing import CliRunner

from order_service.cli import app
from order_service.embedded import Kafka, Postgres
from tests.stateful.client import Client
from tests.stateful.driver import Driver, Tracked
from tests.stateful.happening import possible
from tests.stateful.machine import Machine
from tests.stateful.world import World, seen
from tests.system.harness import System

pytestmark = pytest.mark.timeout(7_200)

_RUNS_OF_A_SEED = 10
"""After so many, Hypothesis would try again what it has tried, with parts of it repeated."""

_MUST_BE_MET = {
    *(("place", answer) for answer in ("201", "202", "409 out-of-stock")),
    *(
        ("pay", answer)
        for answer in ("200", "202", "402 payment-declined", "409 not-payable", "409 stock-not-reserved")
    ),
    *(("pay", answer) for answer in ("409 payment-in-progress", "412 stale-version")),
    *(("cancel", answer) for answer in ("200", "409 not-cancellable", "412 stale-version")),
    *(("put", answer) for answer in ("200", "409 unlawful-move", "412 stale-version")),
    *(("refund", answer) for answer in ("201", "409 refund-exceeds-captured")),
    *(("repeat", answer) for answer in ("200", "201")),
    *(("two at once", answer) for answer in ("200", "201", "409 unlawful-move")),
}
"""Commands and answers that a run as long as in `make test` comes to, many times each."""

_LONG_ENOUGH = 2_400
"""Steps after which all of these have come."""

SETTINGS = {"REQUEST_DEADLINE": "0.25", "PARTNER_TIMEOUT": "1", "LEASE": "2"}


@pytest.fixture(scope="module")
def system(
    postgres: Postgres, template_database: str, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """One running system for all runs: orders do not meet each other."""
    name = f"test_{secrets.token_hex(6)}"
    database = postgres.create_database(name, template=template_database)
    with System(database, kafka.bootstrap, tmp_path_factory.mktemp("stateful"), **SETTINGS) as running:
        running.start_service(LOG_LEVEL="warning")
        yield running
    postgres.drop_database(name)


def test_every_answer_is_one_that_the_rules_allow(system: System, request: pytest.FixtureRequest) -> None:
    runs, steps = (request.config.getoption(f"--stateful-{name}") for name in ("runs", "steps"))
    Driver.client, Driver.twin = Client(system.api), Client(system.api)
    Driver.partners = Client(system.partners)
    Driver.finished, Driver.met = [], Counter()
    first = request.config.getoption("--stateful-seed")
    for begun in range(0, runs, _RUNS_OF_A_SEED):
        _run(first + begun // _RUNS_OF_A_SEED, min(_RUNS_OF_A_SEED, runs - begun), steps)
    orders = Driver.finished
    print(f"\n{runs} runs of {steps} steps: {len(orders)} orders, {Driver.met.total()} answers")
    for (status, command, answer), count in sorted(Driver.met.items()):
        print(f"{count:6} {status:16} {command:32} {answer}")
    if runs * steps >= _LONG_ENOUGH:
        assert {(command, answer) for _, command, answer in Driver.met} >= _MUST_BE_MET
    _to_rest(system, orders)
    _compare_the_topic(system, orders)
    _compare_the_ledger(system, orders)
    verified = CliRunner().invoke(app, ["verify", "--settle", "30"], env=system.service_env())
    assert verified.exit_code == 0, verified.stdout


def _run(number: int, runs: int, steps: int) -> None:
    chosen = settings(
        max_examples=runs,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # what was done to one order is short; to shrink a run would take minutes
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    try:
        run_state_machine_as_test(seed(number)(Machine), settings=chosen)
    except Exception as error:
        error.add_note(f"to run it again: --stateful-seed {number} --stateful-runs {runs} --stateful-steps {steps}")
        raise


def _to_rest(system: System, orders: list[Tracked]) -> None:
    """What is open for ever is cancelled; then every order comes to a rest that the model has foreseen."""
    driver = Driver()
    for order in orders:
        if any(a.partner in ("requires_action", "requires_capture") for w in order.worlds for a in w.attempts):
            driver.cancel(order, False, 0)
    waiting = "select 1 from partner_calls where state = 'open' and kind <> 'late_check' limit 1"
    system.until(lambda: not system.rows(waiting))
    for order in orders:
        reply = Driver.client.send("GET", order.path)
        rests = {world for world in possible(order.worlds) if world.at_rest and world.view() == seen(reply.json)}
        assert rests, order.told(f"came to rest as {reply.body.decode()}")
        order.worlds = rests


def _compare_the_topic(system: System, orders: list[Tracked]) -> None:
    """Each order's events, in their order and without a gap; a repeat is the same."""
    expected = sum(len(order.some.events) for order in orders)
    found: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for event in system.events(expected):
        number = int(event.headers["ce_sequence"])
        kind = found[event.key].setdefault(number, event.type)
        assert (kind, event.headers["ce_id"]) == (event.type, f"{event.key}.{number}")
    for order in orders:
        told = found.pop(order.id, {})
        assert [*told] == sorted(told), order.told(f"events {told}")
        assert [*told] == [*range(1, len(told) + 1)], order.told(f"events {told}")
        kinds = tuple(kind.removeprefix("order.") for kind in told.values())
        assert kinds in {world.events for world in order.worlds}, order.told(f"events {kinds}")
    assert not found


def _compare_the_ledger(system: System, orders: list[Tracked]) -> None:
    """By order: what was charged and given back, and what is held."""
    books: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for entry in system.ledger():
        books[entry["orderId"] or entry["reference"].rpartition("-p")[0]][entry["kind"]] += entry.get("amount") or 1
    for order in orders:
        book = books[order.id]
        assert (book["charge"], book["refund"]) in {_money(w) for w in order.worlds}, order.told(f"the ledger: {book}")
        held = book["reserve"] - book["release"]
        goes = {world.stock in ("reserved", "committed") for world in order.worlds}
        assert {held == 1} == goes, order.told(f"the ledger: {book}")


def _money(world: World) -> tuple[int, int]:
    surplus = sum(world.total for attempt in world.attempts if attempt.surplus)
    back = sum(refund.amount for refund in world.refunds if refund.surplus)
    return world.captured + surplus, world.refunded + back
