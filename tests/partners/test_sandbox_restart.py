"""The sandbox may be killed at any moment: whatever it answered for is there when it comes back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit

from partner_rig import Sandbox, ask, fresh, sandbox_command, until


def charge_body(reference: str, token: str = "tok_visa") -> dict[str, Any]:
    return {
        "orderId": "order-" + reference,
        "reference": reference,
        "amount": 500,
        "currency": "EUR",
        "paymentMethod": {"token": token},
        "captureMethod": "automatic",
    }


def charge(sandbox: Sandbox, reference: str, token: str = "tok_visa") -> tuple[int, Any]:
    return ask("POST", f"{sandbox.url}/api/v1/payments", charge_body(reference, token), key="charge-" + reference)


def reserve(sandbox: Sandbox, reservation: str, product: str, quantity: int = 1) -> tuple[int, Any]:
    body = {
        "reservationId": reservation,
        "orderId": "order-" + reservation,
        "items": [{"productId": product, "quantity": quantity}],
    }
    return ask("POST", f"{sandbox.url}/api/v1/inventory/reservations", body, key="reserve-" + reservation)


def release(sandbox: Sandbox, reservation: str) -> tuple[int, Any]:
    path = f"/api/v1/inventory/reservations/{reservation}/release"
    return ask("POST", sandbox.url + path, {}, key="release-" + reservation)


def void(sandbox: Sandbox, reference: str) -> tuple[int, Any]:
    return ask("POST", f"{sandbox.url}/api/v1/payments/void", {"reference": reference}, key="v-" + reference)


def test_a_kill_keeps_the_ledger_and_the_answers(own_sandbox: Sandbox) -> None:
    said = [charge(own_sandbox, "one"), charge(own_sandbox, "two", "tok_declined"), reserve(own_sandbox, "r", "p")]
    ledger = own_sandbox.ledger()
    assert len(ledger) == 3

    own_sandbox.restart_by_sigkill()

    assert own_sandbox.ledger() == ledger
    assert said == [
        charge(own_sandbox, "one"),
        charge(own_sandbox, "two", "tok_declined"),
        reserve(own_sandbox, "r", "p"),
    ]
    assert own_sandbox.ledger() == ledger


def test_a_kill_keeps_the_memory_of_voids_and_releases(own_sandbox: Sandbox) -> None:
    void(own_sandbox, "never")
    release(own_sandbox, "gone")

    own_sandbox.restart_by_sigkill()

    status, late = charge(own_sandbox, "never")
    assert (status, late["status"]) == (201, "voided")
    assert reserve(own_sandbox, "gone", "p") == (409, {"shortages": []})
    assert [line["kind"] for line in own_sandbox.ledger()] == ["void", "release"]


def test_a_kill_keeps_stock_carts_refunds_and_what_was_turned_away(own_sandbox: Sandbox) -> None:
    ask("PUT", f"{own_sandbox.url}/sandbox/stock/p", {"quantity": 3})
    ask("PUT", f"{own_sandbox.url}/sandbox/carts/u", {"currency": "SEK"})
    reserve(own_sandbox, "two-of-three", "p", 2)
    payment = charge(own_sandbox, "paid")[1]["paymentId"]
    refund = {"reference": "back", "amount": 400, "reason": "dent"}
    assert ask("POST", f"{own_sandbox.url}/api/v1/payments/{payment}/refunds", refund, key="f")[0] == 201
    assert reserve(own_sandbox, "shy", "flaky")[0] == 503

    own_sandbox.restart_by_sigkill()

    assert reserve(own_sandbox, "shy", "flaky")[0] == 503
    assert reserve(own_sandbox, "shy", "flaky")[0] == 201
    status, refused = reserve(own_sandbox, "too-many", "p", 2)
    assert (status, refused["shortages"][0]["available"]) == (409, 1)
    assert ask("GET", f"{own_sandbox.url}/api/v1/carts/u")[1]["currency"] == "SEK"
    over = {"reference": "more", "amount": 101, "reason": "dent"}
    assert ask("POST", f"{own_sandbox.url}/api/v1/payments/{payment}/refunds", over, key="g")[0] == 409


def test_a_payment_that_was_processing_at_the_kill_succeeds_once_afterwards(own_sandbox: Sandbox) -> None:
    assert charge(own_sandbox, "later", "tok_processing")[1]["status"] == "processing"

    own_sandbox.restart_by_sigkill()

    (line,) = until(own_sandbox.ledger)
    assert (line["kind"], line["key"], line["amount"]) == ("charge", "charge-later", 500)
    own_sandbox.restart_by_sigkill()
    assert own_sandbox.ledger() == [line]


def test_a_refund_that_was_pending_at_the_kill_succeeds_once_afterwards(own_sandbox: Sandbox) -> None:
    payment_id = charge(own_sandbox, "back", "tok_refund_pending")[1]["paymentId"]
    body = {"reference": "back-f1", "amount": 200, "reason": "dent"}
    refund = ask("POST", f"{own_sandbox.url}/api/v1/payments/{payment_id}/refunds", body, key="refund-back")
    assert refund[1]["status"] == "pending"

    own_sandbox.restart_by_sigkill()

    (_, line) = until(lambda: own_sandbox.ledger() if len(own_sandbox.ledger()) == 2 else None) or []
    assert (line["kind"], line["key"], line["amount"]) == ("refund", "refund-back", 200)
    own_sandbox.restart_by_sigkill()
    assert own_sandbox.ledger()[1:] == [line]


def test_a_charge_killed_in_its_silence_was_made_and_is_answered_after(own_sandbox: Sandbox) -> None:
    silent = threading.Thread(target=_charge_unheard, args=(own_sandbox,))
    silent.start()
    until(own_sandbox.ledger)

    own_sandbox.restart_by_sigkill()
    silent.join()

    assert charge(own_sandbox, "silent", "tok_timeout_after")[1]["status"] == "succeeded"
    assert [line["kind"] for line in own_sandbox.ledger()] == ["charge"]


def _charge_unheard(sandbox: Sandbox) -> None:
    try:
        charge(sandbox, "silent", "tok_timeout_after")
    except (URLError, OSError):
        return
    raise AssertionError("it answered")


def test_a_kill_amid_a_crowd_loses_no_answer_and_doubles_no_effect(own_sandbox: Sandbox) -> None:
    acknowledged: list[str] = []
    names = [[f"{worker}-{number}" for number in range(10_000)] for worker in range(4)]

    def work(mine: list[str]) -> None:
        for name in mine:
            try:
                if reserve(own_sandbox, name, "p")[0] == 201:
                    acknowledged.append(name)
            except OSError:
                return

    workers = [threading.Thread(target=work, args=(mine,)) for mine in names]
    for worker in workers:
        worker.start()
    until(lambda: len(acknowledged) > 200)
    own_sandbox.end(signal.SIGKILL)
    for worker in workers:
        worker.join()
    own_sandbox.start()

    held = [line["reference"] for line in own_sandbox.ledger()]
    assert len(held) == len(set(held))
    assert set(acknowledged) <= set(held)
    assert len(held) <= len(acknowledged) + len(workers)
    assert all(reserve(own_sandbox, name, "p")[0] == 201 for name in held[-20:])
    assert len(own_sandbox.ledger()) == len(held)


def test_a_torn_last_line_is_cut_off_and_the_next_write_is_whole(own_sandbox: Sandbox) -> None:
    charge(own_sandbox, "one")
    charge(own_sandbox, "two")
    own_sandbox.end(signal.SIGKILL)
    whole = own_sandbox.journal.read_bytes()
    own_sandbox.journal.write_bytes(whole[:-20])

    own_sandbox.start()
    assert [line["reference"] for line in own_sandbox.ledger()] == ["one"]
    charge(own_sandbox, "three")
    own_sandbox.restart_by_sigkill()

    assert [line["reference"] for line in own_sandbox.ledger()] == ["one", "three"]


def test_a_damaged_journal_is_named_and_nothing_is_served_from_it(own_sandbox: Sandbox) -> None:
    charge(own_sandbox, "one")
    charge(own_sandbox, "two")
    own_sandbox.end(signal.SIGKILL)
    first, second = own_sandbox.journal.read_bytes().splitlines(keepends=True)
    own_sandbox.journal.write_bytes(b"#" + first + second)

    refused = subprocess.run(sandbox_command(own_sandbox.folder), capture_output=True, text=True, timeout=20)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "journal is damaged" in refused.stderr
    assert "line 1" in refused.stderr
    assert own_sandbox.journal.read_bytes() == b"#" + first + second


def test_a_second_sandbox_on_the_same_directory_is_turned_away(own_sandbox: Sandbox) -> None:
    second = subprocess.run(sandbox_command(own_sandbox.folder), capture_output=True, text=True, timeout=20)

    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == f"another sandbox is using {own_sandbox.folder}\n"
    assert ask("GET", f"{own_sandbox.url}/health")[0] == 200


def test_sigterm_ends_it_cleanly_even_while_a_reserve_is_stuck(own_sandbox: Sandbox) -> None:
    body = b'{"reservationId":"r","orderId":"o","items":[{"productId":"stuck","quantity":1}]}'
    head = (
        "POST /api/v1/inventory/reservations HTTP/1.1\r\nHost: sandbox\r\n"
        f"Idempotency-Key: k\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    address = urlsplit(own_sandbox.url)
    with socket.create_connection((address.hostname, address.port)) as line:
        line.sendall(head.encode() + body)
        assert own_sandbox.ledger() == []

        assert own_sandbox.end(signal.SIGTERM) == 0

    own_sandbox.start()
    assert own_sandbox.ledger() == []


def test_it_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys\n"
            "child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)\n"
            "child.stdout.readline()\n"
            "print(child.pid, flush=True)\n"
            "child.wait()\n",
            *sandbox_command(tmp_path / fresh("sandbox")),
        ],
        stdout=subprocess.PIPE,
    )
    assert starter.stdout is not None
    child = int(starter.stdout.readline())
    assert _lives(child)

    starter.kill()
    starter.wait()
    starter.stdout.close()

    until(lambda: not _lives(child))


def _lives(pid: int) -> bool:
    """A zombie that nobody has collected yet counts as dead."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
