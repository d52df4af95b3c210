"""Two commands on one order, in every order of their statements and exchanges: answers of the table, balanced books.

``--preemptions 2`` interrupts them once more often; ``--schedule 'pending: pay | cancel / aab'`` runs one schedule, as
a failure prints it.
"""

from __future__ import annotations

import pytest

from tests.interleavings.conftest import Theatre
from tests.interleavings.explore import ALL, explore, replay

pytestmark = pytest.mark.timeout(3_600)

AT_LEAST = {
    "absent": 20, "reserving": 200, "pending": 250, "paying": 280, "unknown": 140, "failing": 170, "failed": 270,
    "confirmed": 340, "refunding": 220, "processing": 200, "shipping": 240, "shipped": 210, "delivered": 120,
    "cancelling": 170, "voiding": 170, "parked": 230, "refund_failed": 150,
}  # fmt: skip
"""Schedules with one preemption at most: an explorer that stops somewhere has fewer."""


@pytest.mark.parametrize("beginning", ALL)
def test_two_commands_end_as_the_table_says_however_they_meet(
    theatre: Theatre, beginning: str, request: pytest.FixtureRequest
) -> None:
    preemptions, one = (request.config.getoption(name) for name in ("--preemptions", "--schedule"))
    if one is not None:
        if one.startswith(f"{beginning}:"):
            run, report = theatre.run(replay(theatre.stage, one))
            print(f"\n{run}", *run.points, sep="\n  ")
            assert report.violations == []
        return
    report = theatre.run(explore(theatre.stage, ALL[beginning], preemptions=preemptions))
    print(f"\n{beginning}: {len(ALL[beginning])} pairs, {report.total} schedules, {report.steps} steps")
    assert report.violations == []
    assert set(report.schedules) == {str(case) for case in ALL[beginning]}
    assert report.total >= AT_LEAST[beginning] or preemptions < 1
