"""What an overload is judged by: each thing that may not hold is named, and nothing else is."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from order_service.torture.load import Tally
from order_service.torture.overload import Report, _faults, _line, _normal_after_s, as_json, table

PEAK = Tally(seconds=10.0, through=1000)


def overloaded(*, through: int = 800, paid: int = 99, created: int = 50, failed: dict[str, int] | None = None) -> Tally:
    """Ten seconds with a hundred orders, of which so many were placed, and a hundred payments."""
    return Tally(
        seconds=10.0,
        through=through,
        asked=Counter(create=100, pay=60, cancel=40),
        succeeded=Counter(create=created, pay=paid - 40, cancel=40),
        turned_away=Counter(create=100 - created, pay=100 - paid),
        failed=Counter(failed or {}),
    )


def test_four_fifths_of_the_peak_and_payments_before_new_orders_hold() -> None:
    assert _faults("twice", overloaded(), PEAK, 10.0) == []


@pytest.mark.parametrize(
    ("tally", "normal_after_s", "told"),
    [
        (overloaded(through=799), 0.0, "goodput 80/s is below 80 % of the peak, 100/s"),
        (overloaded(paid=50), 0.0, "paying and cancelling did not succeed more often than placing"),
        (overloaded(), 11.0, "not normal within 10 seconds after"),
        (overloaded(), None, "not normal within 10 seconds after"),
        (overloaded(failed={"500": 1}), 0.0, "neither a success nor a refusal: {'500': 1}"),
    ],
)
def test_whatever_does_not_hold_is_named(tally: Tally, normal_after_s: float | None, told: str) -> None:
    [fault] = _faults("twice", tally, PEAK, normal_after_s)
    assert fault.startswith("twice: ")
    assert told in fault
    report = Report(96, [_line("twice", tally, PEAK, normal_after_s)], 50, [fault])
    assert not report.held
    assert fault in table(report)
    assert json.loads(as_json(report))["held"] is False


def test_it_is_normal_again_from_the_second_on_in_which_nobody_waits_longer_or_is_turned_away() -> None:
    quiet = Tally(seconds=3.0)
    quiet.latencies = [(quiet.began_at + n / 10, 0.05) for n in range(30)]
    after = Tally(seconds=6.0)
    slow_until_s = 2
    after.latencies = [(after.began_at + n / 10, 0.2 if n < slow_until_s * 10 else 0.05) for n in range(60)]
    assert _normal_after_s(after, quiet) == 2.0
    after.refused_at_s = [3.5]
    assert _normal_after_s(after, quiet) == 4.0
    after.refused_at_s = [5.5]
    assert _normal_after_s(after, quiet) is None
