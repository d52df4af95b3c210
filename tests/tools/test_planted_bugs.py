"""The command that plants bugs: it finds what is there, and says so when a test lets a bug through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.planted_bugs.bug import Bug, WrongPlace
from tools.planted_bugs.bugs import ALL
from tools.planted_bugs.run import PROJECT, NotSound, misplaced, run

# Each plants bugs and runs tests of its own, which a busy machine makes slow.
pytestmark = pytest.mark.timeout(900)

SAMPLE = ("late-capture-told-as-success", "401-read-as-declined")
OUTCOME = ("tests/core/test_outcome.py",)
SETTLED = "INTERIM = Outcome(202, settled=False)"
DESIGN = {
    "independent-gates-burn-a-key",
    "call-token-only-in-the-calls-where",
    "new-key-on-retry",
    "401-read-as-declined",
    "release-by-order",
    "a-lost-answer-resolved-by-version",
    "the-log-is-read-by-id",
    "a-log-row-outside-the-commit-statement",
    "capture-on-a-closed-attempt-accepted",
    "late-capture-told-as-success",
    "an-order-that-is-held-is-waited-for",
    "the-relay-goes-on-past-a-failed-record",
}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "tools.planted_bugs", *arguments],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )


def planting(name: str, new: str, *, file: str = "order_service/core/outcome.py", old: str = SETTLED) -> Bug:
    """A bug that only the tests of outcomes look for."""
    return Bug(name, "Something is wrong.", file, old, new, OUTCOME)


def test_a_sample_of_the_list_is_caught_each_by_a_test_that_is_named() -> None:
    done = command("--json", *(word for name in SAMPLE for word in ("--only", name)))
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["planted"], told["caught"]) == (2, 2)
    named = {bug.name: bug.caught_by[0] for bug in ALL}
    for row in told["bugs"]:
        assert row["verdict"] == "caught"
        assert row["test"].startswith(named[row["bug"]]), row


def test_every_bug_of_the_list_can_be_planted_and_names_tests_that_exist() -> None:
    assert misplaced(ALL) == []
    assert len(ALL) >= 45
    assert {bug.name for bug in ALL} >= DESIGN
    for bug in ALL:
        assert bug.caught_by, bug.name
        for test in bug.caught_by:
            file, _, function = test.partition("::")
            text = (PROJECT / file).read_text()
            assert not function or f"def {function.partition('[')[0]}(" in text, test


def test_a_bug_that_no_test_finds_is_told_and_a_program_that_does_not_run_counts_as_nothing() -> None:
    harmless = planting("survives", f"{SETTLED}  # the same as before")
    unreadable = planting("unreadable", "INTERIM = Outcome(202")
    nameless = planting("nameless", "return settled", old="return Outcome(202)")
    results = {result.bug.name: result for result in run([harmless, unreadable, nameless], jobs=1, stages=())}
    assert (results["survives"].verdict, results["survives"].said) == ("survived", "every test passed")
    assert results["unreadable"].verdict == "broken"
    assert "was never closed" in results["unreadable"].said
    assert (results["nameless"].verdict, results["nameless"].expected) == ("broken", True)


def test_tests_that_fail_without_any_bug_prove_nothing(tmp_path: Path) -> None:
    failing = tmp_path / "test_failing.py"
    failing.write_text("def test_nothing():\n    assert False\n")
    bug = Bug("any", "Anything.", "order_service/core/outcome.py", SETTLED, SETTLED + " ", (str(failing),))
    with pytest.raises(NotSound, match=r"Without any bug .*test_nothing fails"):
        run([bug], stages=())


def test_a_bug_whose_place_has_moved_is_named_before_anything_runs() -> None:
    with pytest.raises(WrongPlace, match="has the text 0 times instead of once"):
        run([planting("any", "x", old="no such text")])
    assert misplaced([planting("any", "x", old="Outcome")])[0].startswith("any: order_service/core/outcome.py has")
    twice = planting("any", "x", file="no/such/file.py")
    assert misplaced([twice, twice]) == [*["any: there is no file no/such/file.py"] * 2, "any: two bugs have this name"]


def test_bugs_of_ones_own_are_read_from_a_file_and_an_unknown_name_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    own = {"name": "mine", "file": "order_service/core/outcome.py", "old": SETTLED, "new": "INTERIM = Outcome(202)"}
    file.write_text(json.dumps([own]))
    told = command("--own", str(file), "--list", "--json")
    assert json.loads(told.stdout) == [own | {"sentence": "", "caughtBy": []}]
    refused = command("--only", "no-such-bug")
    assert (refused.returncode, refused.stderr.strip()) == (2, "There is no bug no-such-bug; --list names them.")
