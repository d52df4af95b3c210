"""A fault of ours is logged with its place, never with what the code held in its hands."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULT = """
import structlog
from order_service.telemetry import configure_logging
configure_logging("info", "{fmt}")
def work():
    token = "tok" + "_secret"
    raise RuntimeError("it broke")
try:
    work()
except RuntimeError:
    structlog.get_logger("test").exception("failed")
"""


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_a_traceback_shows_no_values_of_variables(fmt: str) -> None:
    told = subprocess.run([sys.executable, "-c", FAULT.format(fmt=fmt)], capture_output=True, text=True, check=True)
    assert "it broke" in told.stderr
    assert "tok_secret" not in told.stderr + told.stdout
