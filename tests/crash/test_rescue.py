"""With default settings, another replica does what a dead one owed."""

from __future__ import annotations

from order_service.torture.rescue import VICTIMS, run_rescue


def test_each_stranded_order_of_killed_replicas_comes_to_rest_by_another_one() -> None:
    said: list[str] = []
    measured = run_rescue(1, VICTIMS, said.append)
    assert measured.failures == []
    assert measured.kills >= VICTIMS
    assert len(measured.waits_s) >= VICTIMS
    assert measured.survived
    assert said[-1].startswith(f"{measured.kills} kills, {len(measured.waits_s)} stranded orders")
