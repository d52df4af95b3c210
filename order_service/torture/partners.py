"""Partners that lose, delay, double, garble and misstate what is said."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from order_service.sandbox.network import Fault
from order_service.torture.run import Broken, Run, Scenario

HONEST: dict[Fault, str] = {
    "request-lost": "the request is lost",
    "request-late": "the request is delivered late",
    "request-twice": "the request is delivered twice",
    "answer-lost": "the answer is lost, after the effect",
    "answer-late": "the answer is late",
    "error-before": "5xx and 429, without the effect",
    "error-after": "5xx and 429, after the effect",
}
"""After all of these an order comes to its end by itself."""

OTHERS: dict[Fault, str] = {
    "garbage": "garbage, after the effect",
    "never": "no answer, ever",
    "lie": "another truth, after the effect",
}
"""What was said may have to be looked at by a person."""

STORM: dict[Fault, float] = {
    "request-lost": 0.03,
    "request-late": 0.03,
    "request-twice": 0.05,
    "answer-lost": 0.05,
    "answer-late": 0.03,
    "error-before": 0.04,
    "error-after": 0.04,
    "garbage": 0.03,
    "lie": 0.02,
    "never": 0.02,
}
"""How often what happens when all of it happens at once: to a third of all calls."""

_ALONE = 0.25
"""How often a fault happens when it is the only one."""

_ENOUGH = 20
_STORM_S = 6.0
_WITHIN_S = 45.0
_STEP_S = 0.5


def only(fault: Fault) -> Scenario:
    """The scenario of this fault alone, which goes on until it has happened often enough."""

    def play(run: Run) -> None:
        with run.scenario(f"partners: {HONEST.get(fault) or OTHERS[fault]}") as told:
            done = _under(run, {fault: _ALONE}, {fault}, 0)
            told.append(f"{done[fault]} times")

    return play


def storm(run: Run) -> None:
    """All of it at once."""
    with run.scenario("partners: all of it at once") as told:
        done = _under(run, STORM, set(STORM), _STORM_S)
        told.append(f"{done.total():,} faults of {len(done)} kinds")


def _under(run: Run, rates: dict[Fault, float], wanted: set[Fault], at_least_s: float) -> Counter[str]:
    """Let partners do this until each has been done; staff send again what was not believed. How often what."""
    before, began = _counts(run), time.monotonic()
    weather = {"seed": run.report.seed, "rates": rates, "lateS": 2.0, "silentS": 4.0}
    run.stack.partner("PUT", "/sandbox/network", weather)
    enough = _ENOUGH if len(wanted) == 1 else 1
    done = Counter[str]()
    while time.monotonic() < began + at_least_s or any(done[fault] < enough for fault in wanted):
        if time.monotonic() > began + _WITHIN_S:
            raise Broken(f"partners did only {dict(done)} within {_WITHIN_S:.0f} s")
        time.sleep(_STEP_S)
        run.stage.retry_parked()
        done = _counts(run) - before
    run.stack.partner("PUT", "/sandbox/network", {})
    for fault, count in done.items():
        run.report.faults[f"partner: {fault}"] += count
    run.goes_on()
    run.stage.retry_parked()
    return done


def _counts(run: Run) -> Counter[str]:
    return Counter(run.stack.partner("GET", "/sandbox/network")["counts"])


BY_THEMSELVES: Sequence[Scenario] = tuple(only(fault) for fault in HONEST)
LOOKED_AT: Sequence[Scenario] = (*(only(fault) for fault in OTHERS), storm)
