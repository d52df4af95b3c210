"""The short form of the torture, as a user runs it: everything is survived, and the report says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(900)
def test_the_short_form_is_survived_with_every_place_killed_at_and_twenty_orders_in_flight(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORDER_SERVICE_")}
    command = [sys.executable, "-m", "order_service", "torture", "--seed", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    assert told["survived"]
    assert told["failures"] == []
    assert all(scenario["survived"] for scenario in told["scenarios"])
    kills = told["kills"]
    assert kills["total"] >= 120
    assert kills["minOrdersInFlight"] >= 20
    assert kills["missed"] == []
    assert {"sql.commit:after", "http.payment.charge:after", "kafka.ack:after", "api.reply:before"} <= set(
        kills["byPlace"]
    )
    assert told["verify"]["violations"] == 0
    assert told["orders"] > 0
    assert told["statuses"].keys() >= {"cancelled", "confirmed", "delivered", "refunded"}
