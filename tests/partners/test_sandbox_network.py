"""The sandbox's network: what the caller is told may be wrong, what the ledger lists never is."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from partner_asks import charge_of
from partner_rig import Caller, Sandbox, ask, fresh, items, partners_at, until

from order_service.core.answers import Lied, PaymentState, Unanswered
from order_service.core.requests import ChargeRequest, ReserveRequest


@pytest.fixture
def bad(own_sandbox: Sandbox) -> Iterator[Caller]:
    """Calls to a sandbox whose network a test makes bad."""

    async def opened() -> Caller:
        return Caller(runner, partners_at(own_sandbox.url))

    with asyncio.Runner() as runner:
        caller = runner.run(opened())
        yield caller
        runner.run(caller.partners.close())


def _weather(sandbox: Sandbox, rates: dict[str, float], **more: Any) -> tuple[int, Any]:
    return ask("PUT", f"{sandbox.url}/sandbox/network", {"rates": rates, "seed": 1, **more})


def _charges(sandbox: Sandbox, charge: ChargeRequest) -> list[str]:
    return [line["kind"] for line in sandbox.effects(orderId=charge.order_id)]


def _then_honest(sandbox: Sandbox, caller: Caller, charge: ChargeRequest, key: str) -> None:
    """With fine weather the same call is answered, and was done once."""
    _weather(sandbox, {})
    answer = caller(charge, key)
    assert isinstance(answer, PaymentState)
    assert answer.status == "succeeded"
    assert _charges(sandbox, charge) == ["charge"]


@pytest.mark.parametrize(
    ("fault", "effects"),
    [
        ("request-lost", []),
        ("error-before", []),
        ("answer-lost", ["charge"]),
        ("error-after", ["charge"]),
        ("garbage", ["charge"]),
    ],
)
def test_a_fault_on_the_way_is_unanswered_and_the_effect_is_what_its_name_says(
    bad: Caller, own_sandbox: Sandbox, fault: str, effects: list[str]
) -> None:
    _weather(own_sandbox, {fault: 1.0})
    for _ in range(8):
        charge, key = charge_of("tok_visa"), fresh("key")
        assert isinstance(bad(charge, key), Unanswered)
        assert _charges(own_sandbox, charge) == effects
    _then_honest(own_sandbox, bad, charge, key)


def test_a_request_that_comes_twice_at_once_acts_once(bad: Caller, own_sandbox: Sandbox) -> None:
    _weather(own_sandbox, {"request-twice": 1.0})
    charge = charge_of("tok_visa")
    answer = bad(charge)
    assert isinstance(answer, PaymentState)
    assert _charges(own_sandbox, charge) == ["charge"]


def test_a_request_that_is_late_acts_after_its_connection_is_gone(bad: Caller, own_sandbox: Sandbox) -> None:
    _weather(own_sandbox, {"request-late": 1.0}, lateS=0.5)
    charge, key = charge_of("tok_visa"), fresh("key")
    assert isinstance(bad(charge, key), Unanswered)
    assert _charges(own_sandbox, charge) == []
    until(lambda: _charges(own_sandbox, charge) == ["charge"])
    _then_honest(own_sandbox, bad, charge, key)


@pytest.mark.parametrize("fault", ["answer-late", "never"])
def test_who_does_not_wait_long_enough_knows_nothing(bad: Caller, own_sandbox: Sandbox, fault: str) -> None:
    _weather(own_sandbox, {fault: 1.0}, lateS=5, silentS=5)
    charge, key = charge_of("tok_visa"), fresh("key")
    answer = bad(charge, key, 0.3)
    assert isinstance(answer, Unanswered)
    assert answer.reason == "timeout"
    _then_honest(own_sandbox, bad, charge, key)


def test_a_lie_is_not_believed(bad: Caller, own_sandbox: Sandbox) -> None:
    _weather(own_sandbox, {"lie": 1.0})
    reservation = fresh("hold")
    assert isinstance(bad(ReserveRequest(reservation, fresh("order"), items(("cup", 1))), reservation), Lied)


def test_the_report_counts_what_was_injected_and_levers_are_never_faulty(bad: Caller, own_sandbox: Sandbox) -> None:
    assert _weather(own_sandbox, {"answer-lost": 1.0})[0] == 200
    bad(charge_of("tok_visa"))
    status, report = ask("GET", f"{own_sandbox.url}/sandbox/network")
    assert status == 200
    assert report["weather"]["rates"] == {"answer-lost": 1.0}
    assert report["exchanges"] == 1
    assert {name: n for name, n in report["counts"].items() if n} == {"answer-lost": 1}


def test_the_same_seed_draws_the_same_faults(own_sandbox: Sandbox) -> None:
    def drawn() -> list[int]:
        _weather(own_sandbox, {"error-before": 0.5})
        where = f"{own_sandbox.url}/api/v1/payments?reference=none"
        return [_status("GET", where) for _ in range(40)]

    first = drawn()
    assert len(set(first)) > 1
    assert drawn() == first


@pytest.mark.parametrize("body", [{"rates": {"storm": 0.1}}, {"rates": {"never": 0.6, "lie": 0.6}}, {"rate": {}}])
def test_weather_that_cannot_be_is_refused(own_sandbox: Sandbox, body: Any) -> None:
    assert ask("PUT", f"{own_sandbox.url}/sandbox/network", body)[0] == 422


def _status(method: str, where: str) -> int:
    """The status alone: what is behind it may be no JSON."""
    try:
        with urllib.request.urlopen(urllib.request.Request(where, method=method), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
