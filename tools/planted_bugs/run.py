"""Plants bugs, each in a copy of its own, and runs the proof on every copy; several at once."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tools.planted_bugs.bug import Bug, WrongPlace, copy_of
from tools.planted_bugs.proof import NOT_CAUGHT_BUT_BROKEN, STAGES, Failure, first_failure, imports

PROJECT = Path(__file__).parents[2]


class Verdict(StrEnum):
    """What became of a bug."""

    CAUGHT = "caught"
    SURVIVED = "survived"
    BROKEN = "broken"
    """The program does not run at all with it, which tells nothing about the tests."""


@dataclass(frozen=True)
class Result:
    """``test`` failed first; ``expected``: it is one of those that the bug names. ``took_s`` is in seconds."""

    bug: Bug
    verdict: Verdict
    test: str
    said: str
    expected: bool
    took_s: float


class NotSound(Exception):
    """The tests fail without any bug, so that nothing they say about one counts."""


def misplaced(bugs: Sequence[Bug], project: Path = PROJECT) -> list[str]:
    """What keeps any of these bugs from being planted, one sentence each."""
    faults = []
    for bug in bugs:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / bug.file
            copy.parent.mkdir(parents=True)
            if (project / bug.file).is_file():
                shutil.copy(project / bug.file, copy)
            try:
                bug.plant(Path(folder))
            except WrongPlace as fault:
                faults.append(str(fault))
    names = [bug.name for bug in bugs]
    return faults + [f"{name}: two bugs have this name" for name in sorted({n for n in names if names.count(n) > 1})]


class Field:
    """Where bugs are planted: copies in a temporary folder; the project itself is only read."""

    def __init__(self, folder: Path, *, stages: Sequence[str] = STAGES, project: Path = PROJECT) -> None:
        self._folder = folder
        self._stages = stages
        self._sound = copy_of(project, folder / "without")
        self._known_sound: set[str] = set()
        self._one_at_a_time = threading.Lock()

    def prove_sound(self, tests: Sequence[str], *, workers: int = 0) -> None:
        """The tests pass where no bug is planted; raises ``NotSound``."""
        with self._one_at_a_time:
            new = [test for test in dict.fromkeys(tests) if test not in self._known_sound]
            if not new:
                return
            failure = first_failure(self._sound, new, workers=workers)
            if failure is not None:
                raise NotSound(f"Without any bug {failure.test} fails: {failure.error}: {failure.said}")
            self._known_sound.update(new)

    def plant(self, bug: Bug) -> Result:
        """One bug through the proof, up to the first test that fails."""
        started = time.monotonic()
        copy = copy_of(self._sound, self._folder / bug.name)
        try:
            bug.plant(copy)
            verdict, failure, expected = self._prove(copy, bug)
        finally:
            shutil.rmtree(copy, ignore_errors=True)
        return Result(bug, verdict, failure.test, failure.said, expected, time.monotonic() - started)

    def _prove(self, copy: Path, bug: Bug) -> tuple[Verdict, Failure, bool]:
        fault = imports(copy, bug.file)
        if fault is not None:
            return Verdict.BROKEN, Failure("import", "ImportError", fault), False
        failure = first_failure(copy, bug.caught_by) if bug.caught_by else None
        expected = failure is not None
        for stage in self._stages if failure is None else ():
            self.prove_sound([stage])
            failure = first_failure(copy, [stage])
            if failure is not None:
                break
        if failure is None:
            return Verdict.SURVIVED, Failure("", "", "every test passed"), False
        verdict = Verdict.BROKEN if failure.error in NOT_CAUGHT_BUT_BROKEN else Verdict.CAUGHT
        return verdict, failure, expected


def run(
    bugs: Sequence[Bug],
    *,
    jobs: int = 2,
    stages: Sequence[str] = STAGES,
    tell: Callable[[Result | str], None] = lambda _: None,
) -> list[Result]:
    """All bugs, ``jobs`` at a time, in the order of the list; raises ``NotSound`` and ``WrongPlace``."""
    faults = misplaced(bugs)
    if faults:
        raise WrongPlace("\n".join(faults))
    with tempfile.TemporaryDirectory(prefix="planted-bugs-") as folder:
        field = Field(Path(folder), stages=stages)
        tests = [test for bug in bugs for test in bug.caught_by]
        tell(f"the {len(set(tests))} tests that are expected to catch them, without any bug")
        field.prove_sound(tests, workers=jobs)
        results: dict[str, Result] = {}
        with ThreadPoolExecutor(jobs) as pool:
            planted = {pool.submit(field.plant, bug): bug for bug in bugs}
            try:
                for done in as_completed(planted):
                    result = done.result()
                    results[result.bug.name] = result
                    tell(result)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [results[bug.name] for bug in bugs]
