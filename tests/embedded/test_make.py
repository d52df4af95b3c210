"""What `make` does before any of our code runs: choose a Python, say what is missing, hand on signals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from launching import REPOSITORY


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without an environment, with just what the Makefile reads."""
    for name in ("Makefile", "pyproject.toml", "requirements"):
        source = REPOSITORY / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    return tmp_path


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def make(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *words], cwd=checkout, env=environment(), capture_output=True, text=True, check=False
    )


def environment() -> dict[str, str]:
    """Ours without what an outer make hands to an inner one."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def test_help_explains_every_word(checkout: Path) -> None:
    explained = {line.split()[1] for line in make(checkout).stdout.splitlines() if line.startswith("make ")}
    assert {"help", "run", "test", "check", "lock", "clean"} <= explained


def test_an_old_python_is_refused_in_one_sentence(checkout: Path) -> None:
    old = script(checkout / "old-python", "exit 1")
    refused = make(checkout, "run", f"PYTHON={old}")
    assert refused.returncode != 0
    assert refused.stderr.splitlines()[0] == (
        "Python 3.11 or newer is needed and was not found; name one with make PYTHON=/path/to/python3."
    )


def test_a_python_that_cannot_make_environments_is_refused_in_one_sentence(checkout: Path) -> None:
    stripped = script(checkout / "stripped-python", 'case "$2" in *ensurepip*) exit 1;; esac')
    refused = make(checkout, "run", f"PYTHON={stripped}")
    assert refused.returncode != 0
    assert refused.stderr.splitlines()[0] == (
        "This Python cannot make virtual environments; install its venv package (Debian: apt install python3-venv)."
    )


@pytest.fixture
def set_up(checkout: Path) -> Path:
    """A checkout whose environment is ready; its service says with what it was called, and which signal it got."""
    environment_dir = checkout / ".venv"
    script(
        environment_dir / "bin" / "order-service",
        'trap "echo got INT; exit 0" INT; trap "echo got TERM; exit 0" TERM\n'
        'echo "$@ on port $ORDER_SERVICE_PORT in $ORDER_SERVICE_DATA_DIR"; while :; do sleep 0.05; done',
    )
    (environment_dir / "bin" / "python").symlink_to(sys.executable)
    (environment_dir / "made-in").write_text(f"{checkout}\n")
    (environment_dir / "ready-to-run").touch()
    return checkout


@pytest.mark.parametrize(
    ("send", "number", "heard"),
    [(os.kill, signal.SIGTERM, "got TERM\n"), (os.killpg, signal.SIGINT, "got INT\n")],
    ids=["SIGTERM to make alone", "Ctrl-C in the terminal"],
)
def test_make_run_hands_on_its_settings_and_the_signal_to_stop(
    set_up: Path, send: object, number: signal.Signals, heard: str
) -> None:
    assert callable(send)
    command = ["make", "run", "PORT=8123", "DATA_DIR=here"]
    with subprocess.Popen(
        command, cwd=set_up, env=environment(), stdout=subprocess.PIPE, text=True, process_group=0
    ) as running:
        assert running.stdout is not None
        try:
            assert running.stdout.readline() == "dev on port 8123 in here\n"
            send(running.pid, number)
            assert running.stdout.readline() == heard
        except BaseException:
            os.killpg(running.pid, signal.SIGKILL)
            raise
