"""The short proof: the tests of a copy of the project, in stages, ended by the first failure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.planted_bugs import witness

STAGES = (
    "tests/core",
    "tests/store",
    "tests/partners",
    "tests/relay",
    "tests/engine",
    "tests/auth",
    "tests/faults",
    "tests/api",
    "tests/money",
    "tests/system",
)
"""Every folder that guards a mechanism, the fastest first."""

_TEST_ENDS_WITHIN_S = 120
_STAGE_ENDS_WITHIN_S = 900

NOT_CAUGHT_BUT_BROKEN = frozenset(
    {
        "SyntaxError",
        "IndentationError",
        "ImportError",
        "ModuleNotFoundError",
        "NameError",
        "UnboundLocalError",
        "CollectError",
        "PostgresSyntaxError",
        "UndefinedColumnError",
        "UndefinedTableError",
        "UndefinedFunctionError",
        "UndefinedObjectError",
        "AmbiguousColumnError",
        "GroupingError",
        "DatatypeMismatchError",
    }
)
"""Whoever plants nonsense has planted nothing: a program that cannot run tells nothing about its tests."""

# Apart from the tests, so that a file that cannot be read is told apart from one that does the wrong thing.
_IMPORT = """
import importlib, pathlib, sys
import order_service
home = pathlib.Path(order_service.__file__).parent
if home.parent != pathlib.Path.cwd():
    sys.exit(f"order_service comes from {home}, not from the copy")
importlib.import_module(sys.argv[1])
"""


@dataclass(frozen=True)
class Failure:
    """A test that failed: the class of what it met, and what that said."""

    test: str
    error: str
    said: str


class ProofFailed(Exception):
    """The tests could not be run at all, which says nothing about the bug."""


class Endless(ProofFailed):
    """It has not ended in time."""


def imports(project: Path, file: str) -> str | None:
    """What keeps this file of the copy from being imported; None if nothing does, and for what is not Python."""
    if not file.endswith(".py"):
        return None
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    done = _python(project, ["-c", _IMPORT, module], within_s=120)
    return None if done.returncode == 0 else done.stdout.strip().splitlines()[-1]


def first_failure(project: Path, tests: Sequence[str], *, workers: int = 0) -> Failure | None:
    """Run these tests of the copy up to the first failure; None if they all pass."""
    with tempfile.TemporaryDirectory() as folder:
        seen = Path(folder) / "first.json"
        spread = ["-n", str(workers), "--dist", "loadfile"] if workers else ["-p", "no:xdist"]
        plugins = ["-p", "tools.planted_bugs.witness", "-p", "no:cacheprovider"]
        options = ["-x", "-q", "--tb=line", "-o", f"timeout={_TEST_ENDS_WITHIN_S}", *spread, *plugins]
        try:
            done = _python(
                project,
                ["-m", "pytest", *options, *tests],
                within_s=_STAGE_ENDS_WITHIN_S,
                env={witness.FILE: str(seen)},
            )
        except Endless:
            return Failure(tests[0], "Timeout", "the tests did not come to their end")
        if done.returncode == 0:
            return None
        if seen.exists():
            return Failure(**json.loads(seen.read_text()))
        if done.returncode == 1 and "Timeout" in done.stdout:
            return Failure(tests[0], "Timeout", "a test did not come to its end")
        raise ProofFailed(f"{' '.join(tests)}: pytest ended with {done.returncode}\n{done.stdout[-2000:]}")


def _python(
    project: Path, arguments: list[str], *, within_s: float, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python on the copy: its modules come before those that are installed, in child processes too."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ORDER_SERVICE_", "PYTEST_"))}
    inherited |= {"PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *arguments]
    with _group(command, project, inherited | (env or {})) as child:
        try:
            told, _ = child.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            told, _ = child.communicate()
            raise Endless(
                f"{' '.join(arguments[:3])} ... has not ended after {within_s:.0f} s\n{told[-2000:]}"
            ) from None
        return subprocess.CompletedProcess(command, child.returncode, told)


@contextmanager
def _group(command: list[str], cwd: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process whose children end with it."""
    child = subprocess.Popen(  # noqa: S603 - our own tests
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
