"""Faults of what is done in trouble: a partner away, too many requests, an old key, a database that hangs."""

from tools.planted_bugs.bug import Bug

_BREAKER = "order_service/partners/breaker.py"
_WIRE = "order_service/partners/wire.py"
_DISPATCH = "order_service/dispatch.py"
_ADMISSION = "order_service/api/admission.py"
_GATHER = "order_service/store/gather.py"
_OF_BREAKERS = "tests/partners/test_breaker.py"
_OF_ADMISSION = "tests/api/test_admission.py"
_OF_KEY_AGE = "tests/engine/test_key_lifetime.py"
_OF_GATHER = "tests/store/test_gather.py"
_OF_POINTS = "tests/faults/test_plan.py"

TROUBLE = (
    Bug(
        "the-breaker-never-closes",
        "A partner that is back is asked by probes for ever.",
        _BREAKER,
        "            self.open, self._probe = False, None\n",
        "            self._probe = None\n",
        (f"{_OF_BREAKERS}::test_the_first_answer_closes_the_breaker",),
    ),
    Bug(
        "the-breaker-never-opens",
        "A partner that is away is asked by every call, each of which waits out its time.",
        _BREAKER,
        "if not self.open and self._failures >= FAILURES:",
        "if self.open and self._failures >= FAILURES:",
        (f"{_OF_BREAKERS}::test_the_breaker_opens_after_failures_in_a_row_only",),
    ),
    Bug(
        "failures-that-are-not-in-a-row-open-the-breaker",
        "Failures are counted although answers came in between.",
        _BREAKER,
        "        self._failures = 0\n        if self.open:",
        "        if self.open:",
        (f"{_OF_BREAKERS}::test_the_breaker_opens_after_failures_in_a_row_only",),
    ),
    Bug(
        "a-definite-no-counts-as-a-failure",
        "A partner that answers with refusals is said to be away.",
        _WIRE,
        "if reply.status >= 500 or reply.status == 429 else None",
        "if reply.status >= 400 else None",
        (f"{_OF_BREAKERS}::test_an_open_breaker_sends_nothing_and_an_answer_of_any_kind_closes_it",),
    ),
    Bug(
        "one-slow-call-opens-the-breaker",
        "A call that is slow while others are answered is held against the partner.",
        _BREAKER,
        "        if timeout and self._answered_at >= began:\n            return\n",
        "",
        (f"{_OF_BREAKERS}::test_a_call_that_is_slow_while_others_are_answered_is_no_failure",),
    ),
    Bug(
        "a-call-that-was-not-sent-has-been-tried",
        "A call that the breaker kept back counts as sent, and its payment becomes unknown.",
        _DISPATCH,
        'return Unanswered("breaker open", sent=False)',
        'return Unanswered("breaker open")',
        ("tests/engine/test_partner_away.py",),
    ),
    Bug(
        "repeats-without-a-budget",
        "Repeats are sent however few new calls there are: a storm on a partner that limps.",
        _BREAKER,
        "        if self._left < 1:\n            return False\n",
        "",
        (f"{_OF_BREAKERS}::test_a_quiet_system_repeats_at_once_and_a_busy_one_a_fifth_of_its_calls",),
    ),
    Bug(
        "the-budget-is-not-asked",
        "Calls are repeated without asking the budget.",
        _DISPATCH,
        "elif call.kind not in _POLLS and not self._budgets[partner].again():",
        "elif call.kind in _POLLS and not self._budgets[partner].again():",
        ("tests/engine/test_partner_away.py",),
    ),
    Bug(
        "shed-after-something-was-written",
        "A request is told that there is no room for it, and is carried out all the same.",
        "order_service/api/protocol.py",
        "        else:\n            self._turn_away(",
        "        else:\n            super().begin(head)\n            self._turn_away(",
        (_OF_ADMISSION,),
    ),
    Bug(
        "who-pays-is-turned-away-first",
        "Paying and cancelling are turned away before new orders are.",
        _ADMISSION,
        "SHARES = (2.0, 1.5, 1.0, 0.75)",
        "SHARES = (0.75, 1.0, 1.5, 2.0)",
        (f"{_OF_ADMISSION}::test_lists_go_first_then_new_orders_then_changes_and_who_pays_or_cancels_last",),
    ),
    Bug(
        "a-place-is-not-given-back",
        "Requests that were answered are counted for ever, and in the end nobody comes in.",
        _ADMISSION,
        "        self.busy -= 1\n",
        "        self.busy -= 0\n",
        (f"{_OF_ADMISSION}::test_every_place_is_given_back_whatever_became_of_the_request",),
    ),
    Bug(
        "health-is-turned-away",
        "A busy process does not answer its health checks, and is restarted for being busy.",
        _ADMISSION,
        "    if not url.startswith(_ORDERS):\n        return None\n",
        "    if not url.startswith(_ORDERS):\n        return LIST\n",
        (f"{_OF_ADMISSION}::test_every_operation_on_orders_has_a_rank_and_nothing_else_has",),
    ),
    Bug(
        "an-old-key-is-sent-again",
        "A charge or refund is repeated when the payment service has forgotten its key, and moves the money twice.",
        _DISPATCH,
        "if call.kind in _MOVES_MONEY and call.age_s > self._keys.safe_s:",
        "if call.kind in _MOVES_MONEY and call.age_s > 1e12 + self._keys.safe_s:",
        (_OF_KEY_AGE,),
    ),
    Bug(
        "an-old-refund-is-started-anew",
        "A refund whose key is too old is not looked up, but asked for as before.",
        "order_service/core/refund.py",
        """        case KeyTooOld():
            draft.close(call, End.DROPPED, "key too old")
            draft.put_refund(replace(row, call_id=_look_up(draft, row)))
""",
        "        case KeyTooOld():\n            draft.again(call, answer)\n",
        ("tests/core/test_refund.py",),
    ),
    Bug(
        "an-old-charge-stays-owed",
        "A charge whose key is too old is not voided.",
        "order_service/core/payment.py",
        "            void(draft, attempt)  # as at its deadline: by reference, and never a charge\n",
        "            draft.again(call, answer)\n",
        ("tests/core/test_payment.py::test_a_charge_whose_key_is_too_old_is_voided_and_never_sent_again",),
    ),
    Bug(
        "the-age-of-a-key-is-that-of-its-last-send",
        "The age of a key is counted from its last lease instead of from its first day.",
        "order_service/store/sql/claim.sql",
        "extract(epoch from now() - c.created_at)::float8",
        "extract(epoch from now() - least(c.lease_until, now()))::float8",
        (_OF_KEY_AGE,),
    ),
    Bug(
        "an-attempt-may-outlive-its-key",
        "A set-up in which a charge is repeated past the life of its key is accepted.",
        "order_service/config.py",
        "if self.attempt_deadline + 2 * self.lease >= KEY_SAFE_PART * self.payment_key_ttl:",
        "if self.attempt_deadline + 2 * self.lease >= 2 * self.payment_key_ttl:",
        (f"{_OF_KEY_AGE}::test_an_attempt_may_not_outlive_its_key",),
    ),
    Bug(
        "the-neighbours-row-is-answered",
        "A question that was gathered with others is answered with somebody else's row.",
        _GATHER,
        "                    self._tell(answers, found.get(key))\n",
        "                    self._tell(answers, found.get(key, next(iter(found.values()), None)))\n",
        (_OF_GATHER,),
    ),
    Bug(
        "a-question-joins-one-that-is-under-way",
        "A question gets the answer of a statement that began before it, and misses what was written between.",
        _GATHER,
        "            batch = {key: self._waiting.pop(key) for key in list(self._waiting)[: self._limit]}\n"
        "            try:\n"
        "                found = await self._ask(list(batch))\n",
        "            batch = {key: self._waiting[key] for key in list(self._waiting)[: self._limit]}\n"
        "            try:\n"
        "                try:\n"
        "                    found = await self._ask(list(batch))\n"
        "                finally:\n"
        "                    for key in batch:\n"
        "                        del self._waiting[key]\n",
        (_OF_GATHER,),
    ),
    Bug(
        "who-rides-along-waits-for-ever",
        "An answer that no request waits for is written with the next statement, or not at all.",
        "order_service/store/committer.py",
        "        await asyncio.sleep(PATIENCE_S)\n        self._begin()\n",
        "        await asyncio.sleep(PATIENCE_S)\n",
        ("tests/store/test_committer.py::test_what_no_request_waits_for_is_written_if_nothing_follows_it_too",),
    ),
    Bug(
        "a-queue-without-an-end",
        "Commits wait for a database that hangs until the memory is full.",
        "order_service/store/committer.py",
        "        if len(self._queue) >= self._most_waiting:\n",
        "        if len(self._queue) >= self._most_waiting * 1000:\n",
        ("tests/store/test_committer.py",),
    ),
    Bug(
        "a-cut-after-a-statement-is-a-cut-before-it",
        "The proof by faults loses statements where it should lose their answers.",
        "order_service/faults.py",
        "    done = await work()\n    if hook is not None:\n        await hook(point, AFTER)\n    return done\n",
        "    if hook is not None:\n        await hook(point, AFTER)\n    return await work()\n",
        (f"{_OF_POINTS}::test_a_cut_before_sends_nothing_and_a_cut_after_loses_the_answer",),
    ),
    Bug(
        "a-call-to-the-database-beside-the-points",
        "A statement goes past the fault points, and no proof stops there.",
        "order_service/store/statements.py",
        """    if faults.hook is None:
        return await on.execute(statement.sql, *arguments)
    return await faults.around(statement.point, lambda: on.execute(statement.sql, *arguments))
""",
        "    return await on.execute(statement.sql, *arguments)\n",
        ("tests/faults/test_no_call_without_a_point.py",),
    ),
    Bug(
        "a-plan-without-its-count",
        "A fault that is planned for the third passing comes at every one.",
        "order_service/faults.py",
        "fault = self._faults.get((point, phase, self._passed[place]))",
        "fault = next((f for (p, w, _), f in self._faults.items() if (p, w) == place), None)",
        (_OF_POINTS,),
    ),
)
