"""Killed at each boundary, cut off at each commit: one effect, one answer under the key, and books in balance."""

from __future__ import annotations

import pytest

from tests.interleavings.beginnings import BEGINNINGS
from tests.interleavings.conftest import Theatre
from tests.interleavings.mishaps import Striker, at_commits, cut, everywhere, in_every_state, kill

pytestmark = pytest.mark.timeout(1_800)


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_replica_killed_at_any_boundary_leaves_what_another_can_finish(
    theatre: Theatre, beginning: str, request: pytest.FixtureRequest
) -> None:
    long = request.config.getoption("--preemptions") > 1
    striker = Striker(theatre.stage, kill, everywhere if long else in_every_state)
    theatre.run(striker.strike(beginning))
    print(f"\n{beginning}: killed {striker.toll.mishaps} times at {sorted(striker.toll.points)}")
    assert {"sql.find_key:after", "sql.commit:after"} < striker.toll.points
    assert striker.toll.violations == []


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_commit_that_is_cut_off_has_one_effect_and_one_answer(theatre: Theatre, beginning: str) -> None:
    striker = Striker(theatre.stage, cut, at_commits)
    theatre.run(striker.strike(beginning))
    print(f"\n{beginning}: cut off {striker.toll.mishaps} times")
    assert striker.toll.points == {"sql.commit:before", "sql.commit:after"}
    assert striker.toll.violations == []
