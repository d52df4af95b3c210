"""Schemathesis reads the description from the running service and finds no request that is answered otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from order_service.api.operations import OPERATIONS

from .conftest import Running

pytestmark = pytest.mark.timeout(1_200)
"""As many examples as are asked for take their time."""
HERE = Path(__file__).parent


def test_no_request_that_schemathesis_makes_is_answered_otherwise_than_described(
    running: Running, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """All of its checks; what it cannot know is in ``hooks.py`` and ``schemathesis.toml``, each with its reason."""
    report = tmp_path / "report.json"
    told = ["run", f"{running.shop.api}/openapi.json", "--checks", "all", "--continue-on-failure", "--no-shrink"]
    told += ["--header", f"Authorization: Bearer {running.staff}", "--workers", "2", "--seed", "1"]
    told += ["--max-examples", str(request.config.getoption("--schema-examples"))]
    told += ["--report", "json", "--report-json-path", str(report)]
    done = subprocess.run(
        [str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(HERE / "schemathesis.toml"), *told],
        env=os.environ | {"PYTHONPATH": str(HERE.parent.parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1_100,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    found = json.loads(report.read_text())
    assert (found["failures"], found["errors"]) == ([], [])
    assert found["operations"]["tested"] == len(OPERATIONS) - 1, "all but the description itself"
    assert {name: phase["status"] for name, phase in found["phases"].items()} == dict.fromkeys(
        ("examples", "coverage", "fuzzing", "stateful"), "success"
    )
    assert found["test_cases"]["generated"] > 1_000
