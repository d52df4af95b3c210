"""Faults of who sends what, and when: leases, tokens, timers, repeats."""

from tools.planted_bugs.bug import Bug

_CLAIM = "order_service/store/sql/claim.sql"
_DISPATCH = "order_service/dispatch.py"
_ENGINE = "order_service/engine.py"
_WORKER = "tests/engine/test_worker.py"

CALLS = (
    Bug(
        "new-key-on-retry",
        "A call that is sent again goes out under a new key, and takes effect twice.",
        _DISPATCH,
        "                call.key,\n                timeout_s",
        '                call.key if call.attempts <= 1 else f"{call.key}-{call.attempts}",\n                timeout_s',
        (_WORKER,),
    ),
    Bug(
        "a-claim-takes-what-is-leased",
        "A claim takes calls whose lease has not run out, so that two replicas send them.",
        _CLAIM,
        "where state = 'open' and lease_until <= now() and",
        "where state = 'open' and",
        ("tests/store/test_calls.py",),
    ),
    Bug(
        "a-claim-keeps-the-token",
        "A claim does not raise the token, so that the late answer of the last owner counts too.",
        _CLAIM,
        "set token = c.token + 1, attempts",
        "set attempts",
        ("tests/store/test_calls.py::test_a_call_whose_lease_has_ended_is_claimed_with_the_next_token",),
    ),
    Bug(
        "a-claim-waits-for-locks",
        "A claim waits for the calls that somebody is writing: lock without SKIP LOCKED.",
        _CLAIM,
        "    for update skip locked\n",
        "    for update\n",
        ("tests/store/test_calls.py::test_a_call_that_somebody_is_writing_holds_up_no_claim",),
    ),
    Bug(
        "a-claim-without-a-lease",
        "A claim does not lease what it takes, and the next claim takes it too.",
        _CLAIM,
        "make_interval(secs => :lease_s)",
        "make_interval(secs => 0 * :lease_s)",
        ("tests/store/test_calls.py",),
    ),
    Bug(
        "a-parked-call-is-sent",
        "A call that waits for a person is sent all the same.",
        _CLAIM,
        "where state = 'open' and lease_until",
        "where state in ('open', 'parked') and lease_until",
        ("tests/store/test_calls.py::test_a_parked_call_is_nobodys",),
    ),
    Bug(
        "too-late-and-sent-all-the-same",
        "A cart is cleared hours later, when it holds other goods.",
        _DISPATCH,
        '        if call.expired:\n            return Unanswered("too late to be sent")\n',
        "",
        (f"{_WORKER}::test_a_call_that_has_come_too_late_is_not_sent",),
    ),
    Bug(
        "an-answer-under-anybodys-token",
        "An answer is applied under the token that is stored by now, whoever has the lease.",
        _ENGINE,
        "call_token=call.token if call is not None and decision.answered else None,",
        "call_token=(base.tokens[decision.answered] if base else 0) if decision.answered else None,",
        (f"{_WORKER}::test_an_answer_counts_only_under_the_lease_it_was_asked_under_also_where_a_worker_asked",),
    ),
    Bug(
        "one-broken-order-stops-the-sweep",
        "A timer that cannot be handled ends the sweep, and all other timers wait behind it.",
        _DISPATCH,
        """                self._left_alone[order_id] = time.monotonic() + BROKEN_ORDER_PAUSE_S
                log.exception("timer_failed", order_id=order_id)
""",
        """                raise
""",
        (f"{_WORKER}::test_one_broken_order_holds_up_neither_the_loads_nor_the_timers_of_others",),
    ),
    Bug(
        "an-answer-that-breaks-the-rules-comes-back-for-ever",
        "An answer that cannot be applied parks nothing, and the same call is made again and again.",
        _DISPATCH,
        "                await self._park(call, frame)\n",
        "",
        ("tests/system/test_outage.py::test_an_answer_that_the_database_refuses_is_parked_and_the_others_flow",),
    ),
    Bug(
        "a-partners-wish-is-ignored",
        "A partner that asks to be left alone for a while is asked again at once.",
        "order_service/core/draft.py",
        "outcome, wait, sent = answer.reason, answer.retry_after_s, answer.sent",
        "outcome, wait, sent = answer.reason, None, answer.sent",
        ("tests/core/test_creation.py::test_the_wish_of_a_busy_partner_is_passed_on",),
    ),
    Bug(
        "a-stop-leaves-calls-behind",
        "A process that is stopped does not wait for the calls it has under way.",
        _DISPATCH,
        "while self._tasks and time.monotonic() < deadline:",
        "while not self._tasks and time.monotonic() < deadline:",
        (
            "tests/engine/test_start_and_stop.py"
            "::test_a_stop_finishes_the_calls_under_way_and_those_that_follow_from_them",
        ),
    ),
    Bug(
        "every-call-probes-a-partner-that-is-away",
        "A partner that is away is asked by every call, instead of by one probe at a time.",
        "order_service/partners/breaker.py",
        "            if now < self._next_probe:\n                return None\n",
        "",
        ("tests/partners/test_breaker.py::test_one_probe_is_let_through_at_a_time",),
    ),
)
