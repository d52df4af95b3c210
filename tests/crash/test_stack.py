"""The stack of the torture: replicas that start fast, end as they are told, and leave nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil

from order_service.embedded.processes import wait_gone
from order_service.torture.stack import Stack

BODY = {
    "userId": "ada",
    "currency": "EUR",
    "items": [{"productId": "cup", "name": "Cup", "quantity": 1, "unitPrice": 850}],
    "shippingAddress": {
        "name": "Ada Example",
        "line1": "1 Main Street",
        "city": "Springfield",
        "postalCode": "62701",
        "country": "US",
    },
}

# Says where everything is, and waits to be killed.
PROGRAM = """
import json, signal, sys
from order_service.torture.stack import Stack
with Stack() as stack:
    replica = stack.replica("one")
    frozen = stack.replica("two")
    frozen.wait_ready()
    frozen.signal(signal.SIGSTOP)
    print(json.dumps(str(stack.folder)), flush=True)
    sys.stdin.readline()
"""


def _post(url: str, body: object) -> tuple[int, dict[str, object]]:
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, json.load(answer)


def test_a_replica_takes_orders_and_dies_by_the_signal_it_is_sent(stack: Stack) -> None:
    replica = stack.replica("one")
    replica.wait_ready()
    status, order = _post(f"{replica.url}/api/v1/orders", BODY)
    assert (status, order["status"]) == (201, "pending")
    replica.kill()
    assert replica.exit_code == -signal.SIGKILL
    assert replica not in stack.alive()


def test_a_replica_that_is_told_to_stop_ends_with_code_0(stack: Stack) -> None:
    replica = stack.replica("one")
    replica.wait_ready()
    assert replica.stop() == 0


def test_a_replica_with_settings_that_contradict_themselves_ends_with_code_1_and_says_why(stack: Stack) -> None:
    replica = stack.replica("contradiction", LEASE="0.1")
    assert replica.wait(30)
    assert replica.exit_code == 1
    assert "REQUEST_DEADLINE < PARTNER_TIMEOUT < LEASE" in replica.log.read_text()


def test_two_replicas_share_a_port_and_one_of_them_goes_on_alone(stack: Stack) -> None:
    one = stack.replica("one", shared=True)
    two = stack.replica("two", shared=True, PORT=str(one.port))
    one.wait_ready()
    two.wait_ready()
    one.kill()
    status, _ = _post(f"{two.url}/api/v1/orders", BODY)
    assert status == 201
    two.kill()


def test_a_wrong_clock_of_a_replica_changes_no_time_of_an_order(stack: Stack) -> None:
    true, wrong = stack.replica("true"), stack.replica("wrong", skew_s=86_400)
    for replica in (true, wrong):
        replica.wait_ready()
    days = {_post(f"{replica.url}/api/v1/orders", BODY)[1]["createdAt"][:10] for replica in (true, wrong)}
    assert len(days) == 1


def test_a_new_chapter_begins_with_nothing(stack: Stack) -> None:
    replica = stack.replica("one")
    replica.wait_ready()
    _post(f"{replica.url}/api/v1/orders", BODY)
    stack.new_chapter()
    assert not replica.alive
    assert stack.partner("GET", "/sandbox/ledger") == {"items": []}


def test_a_launcher_that_is_killed_leaves_no_process_behind_and_the_next_one_removes_its_folder(tmp_path: Path) -> None:
    launcher = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert launcher.stdout is not None
    folder = Path(json.loads(launcher.stdout.readline()))
    family = psutil.Process(launcher.pid).children(recursive=True)
    assert len(family) > 5
    launcher.kill()
    launcher.wait()
    assert wait_gone(family, timeout_s=30) == []
    assert folder.exists()
    with Stack() as stack:
        assert stack.folder.exists()
        assert not folder.exists()
    assert not stack.folder.exists()
