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


@pytest.mark.timeout(400)
def test_a_backlog_is_drained_in_order_and_delays_are_taken(tmp_path: Path) -> None:
    done = bench(tmp_path, "backlog", "--events", "4000", "--seconds", "1", "--rate", "100", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert json.loads((tmp_path / "bench" / "results" / "backlog.json").read_text()) == told
    assert 0 < told["events"] <= 4000
    assert (told["outOfOrder"], told["repeated"]) == (0, 0)
    assert told["perS"] > 0
    assert 0 < told["mbAtBegin"] < told["mbAtMost"] * 1.5
    assert 0 < told["delayP50Ms"] <= told["delayP99Ms"] <= told["delayMostMs"]


@pytest.mark.timeout(400)
def test_the_tables_grow_to_each_size_that_is_asked_for(tmp_path: Path) -> None:
    done = bench(tmp_path, "growth", "--orders", "12000,18000", "--seconds", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [line["workload"] for line in told["lines"] if line["clients"] == 64] == [
        "create, 12,000 orders",
        "create + pay, 12,000 orders",
        "create, 18,000 orders",
        "create + pay, 18,000 orders",
    ]
    assert all(line["perS"] > 0 and line["postgresUs"] > 0 for line in told["lines"])
    assert [note.partition(" orders")[0] for note in told["notes"]] == ["12,000", "18,000"]


@pytest.mark.timeout(400)
def test_two_replicas_are_measured_beside_one(tmp_path: Path) -> None:
    done = bench(tmp_path, "replicas", "--seconds", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    names = {line["workload"] for line in json.loads(done.stdout)["lines"]}
    assert names == {f"{name}, {n}" for name in ("create", "create + pay") for n in ("1 replica", "2 replicas")}


@pytest.mark.timeout(400)
def test_a_soak_tells_the_memory_of_every_part_as_time_goes_on(tmp_path: Path) -> None:
    done = bench(tmp_path, "soak", "--minutes", "0.1", "--every", "3", "--rate", "50")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split() == [
        "minute",
        "a",
        "second",
        "postgres",
        "MB",
        "broker",
        "MB",
        "partners",
        "MB",
        "service",
        "MB",
    ]
    assert [line.split()[0] for line in lines] == ["0.1", "0.1"]
    told = json.loads((tmp_path / "bench" / "results" / "soak.json").read_text())
    assert all(mb > 1 for span in told["spans"] for mb in span["megabytes"].values())


def test_sizes_that_are_no_numbers_are_said(tmp_path: Path) -> None:
    done = bench(tmp_path, "growth", "--orders", "many")
    said = "order-service: --orders many is not a list of numbers, as in 10000,100000."
    assert (done.returncode, done.stderr.strip()) == (1, said)


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
