"""The bench measures a system of its own, and says what it took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from order_service.bench.chart import write_charts
from order_service.bench.plan import Line, Report, steps


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in this folder, as a person does."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORDER_SERVICE_")}
    command = [sys.executable, "-m", "order_service", "bench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)


@pytest.mark.timeout(400)
def test_orders_reads_and_the_floor_are_measured_side_by_side(tmp_path: Path) -> None:
    done = bench(tmp_path, "--quick", "--only", "get", "--only", "floor", "--seconds", "2", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert json.loads((tmp_path / "bench" / "results" / "quick.json").read_text()) == told
    assert (tmp_path / "bench" / "results" / "quick-rate.svg").is_file()
    assert [line["workload"] for line in told["lines"]] == ["get", "floor: pgbench", "floor: pgbench"]
    for line in told["lines"]:
        assert line["perS"] > 0
        assert line["postgresUs"] > 0
        if line["workload"].startswith("floor"):
            assert (line["serviceUs"], line["brokerUs"]) == (0, 0)
        else:
            assert 0 < line["p50Ms"] <= line["p95Ms"] <= line["p99Ms"]
            assert line["serviceUs"] > 0


def test_every_workload_is_measured_in_both_forms() -> None:
    full, quick = steps(quick=False), steps(quick=True)
    assert {step.workload for step in quick} == {step.workload for step in full}
    assert {step.clients for step in full if step.workload == "create"} == {1, 4, 16, 64, 256}


def test_a_workload_that_there_is_not_is_said(tmp_path: Path) -> None:
    done = bench(tmp_path, "--only", "weather")
    assert (done.returncode, done.stderr.strip()) == (1, "order-service: no workload has weather in its name.")
    assert list(tmp_path.iterdir()) == []


def test_results_of_one_slow_step_can_be_drawn(tmp_path: Path) -> None:
    line = Line("create", 1, 0.5, 2000.0, 2000.0, 2000.0, 900.0, 200.0, 0.0, 0.0)
    write_charts(Report("2026-01-01T00:00:00+00:00", "a machine", 1.0, [line]), tmp_path, "quick")
    for name in ("quick-cpu.svg", "quick-rate.svg"):
        drawn = ElementTree.fromstring((tmp_path / name).read_text())
        assert "create" in " ".join(drawn.itertext())
