"""Replicas are replaced under load, and their clients, who never retry, do not notice."""

from __future__ import annotations

from msgspec import structs

from order_service.torture.rolling import REPLICAS, Rolled, run_rolling
from order_service.torture.traffic import Failure

RESTARTS = 3
RATE = 25.0


def test_no_request_fails_while_both_replicas_are_replaced_three_times() -> None:
    said: list[str] = []
    rolled = run_rolling(1, RESTARTS, RATE, said.append)
    assert rolled.failures == []
    assert rolled.broken == []
    assert rolled.replaced == RESTARTS * REPLICAS
    assert rolled.requests == sum(rolled.answers.values()) > 0
    assert rolled.exit_code == 0
    assert rolled.survived
    assert said[-1] == f"3 of 3 restarts, {said[-1].split()[4]} requests, 0 failed"


def test_a_failed_request_a_replica_that_stayed_and_a_bad_end_are_not_survived() -> None:
    good = Rolled(3, 2, 6, 100, 50.0, {"get 200": 100}, [], 1.0, 2.0, 3.0, 4.0, 5.0, 0, [])
    assert good.survived
    assert not structs.replace(good, failures=[Failure(1.0, "get", "ServerDisconnectedError")]).survived
    assert not structs.replace(good, replaced=5).survived
    assert not structs.replace(good, requests=0).survived
    assert not structs.replace(good, exit_code=1).survived
    assert not structs.replace(good, broken=["an order is lost"]).survived
