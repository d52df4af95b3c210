"""The short form of the torture, as a user runs it: everything is survived, and the report says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DISASTERS = {
    "SIGKILL during recovery",
    "SIGSTOP for 3.6 s, then SIGCONT",
    "clocks wrong by +1 h, -1 h, +25 h",
    "connections cut before and after the effect",
    "partners killed and restarted",
    "partners: the request is lost",
    "partners: the request is delivered late",
    "partners: the request is delivered twice",
    "partners: the answer is lost, after the effect",
    "partners: the answer is late",
    "partners: 5xx and 429, without the effect",
    "partners: 5xx and 429, after the effect",
    "partners: garbage, after the effect",
    "partners: no answer, ever",
    "partners: another truth, after the effect",
    "partners: all of it at once",
    "disk full: no write to the log of writes",
    "PostgreSQL: sessions ended, one backend killed",
    "PostgreSQL restarted, fast",
    "PostgreSQL restarted, immediate",
    "Kafka killed and restarted",
    "Kafka frozen, then slow",
}


@pytest.mark.timeout(900)
def test_the_short_form_is_survived_with_every_place_killed_at_and_every_disaster(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORDER_SERVICE_")}
    command = [sys.executable, "-m", "order_service", "torture", "--seed", "1", "--json", "--report", "report.json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert told["survived"]
    assert told["failures"] == []
    assert json.loads((tmp_path / "report.json").read_text()) == told
    assert all(scenario["survived"] for scenario in told["scenarios"])
    assert {scenario["name"] for scenario in told["scenarios"]} >= DISASTERS
    kills = told["kills"]
    assert kills["total"] >= 120
    assert kills["minOrdersInFlight"] >= 20
    assert kills["missed"] == []
    assert {"sql.commit:after", "http.payment.charge:after", "kafka.ack:after", "api.reply:before"} <= set(
        kills["byPlace"]
    )
    assert told["verify"]["violations"] == 0
    assert told["verify"]["times"] == 4
    assert told["orders"] > 0
    assert told["statuses"].keys() >= {"cancelled", "confirmed", "delivered", "refunded"}
