"""With default settings, another replica does what a dead one owed."""

from __future__ import annotations

from order_service.torture.rescue import LIMIT_S, VICTIMS, Rescue, run_rescue


def test_each_stranded_order_of_killed_replicas_comes_to_rest_by_another_one() -> None:
    said: list[str] = []
    measured = run_rescue(1, VICTIMS, said.append)
    assert measured.failures == []
    assert measured.kills == VICTIMS
    assert len(measured.waits_s) >= VICTIMS
    assert said[-1].startswith(f"{VICTIMS} kills, {len(measured.waits_s)} stranded orders")


def test_a_rescue_that_took_too_long_or_saved_nobody_is_not_survived() -> None:
    assert Rescue(1, waits_s=[LIMIT_S] * 100).survived
    assert Rescue(1, waits_s=[LIMIT_S] * 99 + [60.0]).survived is False
    assert not Rescue(1, waits_s=[LIMIT_S], failures=["an order is lost"]).survived
    assert not Rescue(1).survived
