"""Faults of what is written: the one statement, its gates, the guards of the schema, and who sees it through."""

from tools.planted_bugs.bug import Bug

_COMMIT = "order_service/store/sql/commit.sql"
_COMMITTER = "order_service/store/committer.py"
_GUARDS = "order_service/migrations/sql/0001_guards.sql"
_ROWS = "order_service/store/rows.py"

STORE = (
    Bug(
        "independent-gates-burn-a-key",
        "The key is bound beside the other gates, so that a stale decision burns it.",
        _COMMIT,
        "    join judged j on j.n = k.n\n    where j.verdict = 'applied'\n    order by k.principal",
        "    join judged j on j.n = k.n\n    order by k.principal",
        ("tests/store/test_commit.py::test_a_stale_decision_does_not_burn_its_key",),
    ),
    Bug(
        "call-token-only-in-the-calls-where",
        "The lease's token is tested where the call is ended, and no longer before the order is written.",
        _COMMIT,
        "        when c.token <> e.call_token or c.state <> 'open' then 'call_gone'\n",
        "",
        ("tests/store/test_commit.py::test_an_answer_under_a_lease_that_has_passed_on_is_dropped",),
    ),
    Bug(
        "an-order-that-is-held-is-waited-for",
        "An order that somebody holds holds up the whole statement: lock without SKIP LOCKED.",
        _COMMIT,
        "where e.gate = 'changed'))\n    for no key update skip locked",
        "where e.gate = 'changed'))\n    for no key update",
        ("tests/store/test_commit.py::test_an_order_that_somebody_holds_holds_nobody_up",),
    ),
    Bug(
        "a-call-that-is-held-is-waited-for",
        "A call that somebody holds holds up the whole statement: lock without SKIP LOCKED.",
        _COMMIT,
        "where e.call_id is not null))\n    for no key update skip locked",
        "where e.call_id is not null))\n    for no key update",
        ("tests/store/test_commit.py::test_a_call_that_somebody_holds_holds_nobody_up",),
    ),
    Bug(
        "the-version-is-not-compared",
        "A decision on an old version is written over a newer one.",
        _COMMIT,
        "        when e.gate = 'changed' and (o.version, o.revision) <> (e.version, e.revision) then 'stale'\n",
        "",
        ("tests/store/test_commit.py::test_a_stale_decision_does_not_burn_its_key",),
    ),
    Bug(
        "the-revision-is-not-compared",
        "Two calls that end at once both leave the next step to the other.",
        _COMMIT,
        "(o.version, o.revision) <> (e.version, e.revision)",
        "o.version <> e.version",
        ("tests/store/test_commit.py::test_two_calls_that_end_at_once_cannot_both_leave_the_next_step_to_the_other",),
    ),
    Bug(
        "keys-in-any-order",
        "Keys are bound in the order of the entries, so that two statements wait for each other.",
        _COMMIT,
        "    order by k.principal, k.route, k.key\n",
        "",
        ("tests/store/test_commit.py::test_two_statements_with_opposite_keys_do_not_wait_for_each_other",),
    ),
    Bug(
        "a-taken-key-writes-all-the-same",
        "A decision whose key is taken writes its order without it.",
        _COMMIT,
        "        when j.verdict = 'applied' and k.n is not null and b.decision_id is null then 'key_taken'\n",
        "        when false then 'key_taken'\n",
        ("tests/store/test_commit.py::test_a_key_is_bound_to_the_first_decision_only",),
    ),
    Bug(
        "an-ended-call-keeps-its-token",
        "The token does not rise when a call ends, so that what was read before still fits.",
        _COMMIT,
        "        token = c.token + 1, attempts = c.attempts + x.attempts,",
        "        attempts = c.attempts + x.attempts,",
        ("tests/store/test_commit.py",),
    ),
    Bug(
        "a-log-row-outside-the-commit-statement",
        "The log row is written by a statement of its own behind the commit, and nothing refuses that any more.",
        _GUARDS,
        """create trigger tells_of_its_order after insert on order_log
    referencing new table as fresh for each statement execute function check_new_log_rows();
""",
        "",
        ("tests/store/test_schema.py::test_a_log_row_without_its_order_is_refused",),
    ),
    Bug(
        "a-change-without-its-log-row",
        "A change of an order without the log row of its version is let through.",
        _GUARDS,
        """.version <> o.version + 1 or l.hash is distinct from n.log_hash or l.prev_hash <> o.log_hash
                or l.xid <> pg_current_xact_id() then 'unlogged'
""",
        ".version is null then 'unlogged'\n",
        ("tests/store/test_schema.py",),
    ),
    Bug(
        "a-log-row-of-another-transaction",
        "A log row that an earlier transaction wrote stands in for the one that is missing.",
        _GUARDS,
        "l.prev_hash <> o.log_hash\n                or l.xid <> pg_current_xact_id() then",
        "l.prev_hash <> o.log_hash then",
        ("tests/store/test_schema.py",),
    ),
    Bug(
        "captures-are-not-summed",
        "The database does not compare the order's captured money with its attempts.",
        _GUARDS,
        """            when n.captured <> (
                select coalesce(sum(a.amount), 0) from payment_attempts a
                where a.order_id = n.id and a.status = 'captured') then 'sums'
""",
        "",
        ("tests/store/test_schema.py::test_captured_money_without_its_attempt_is_refused",),
    ),
    Bug(
        "unlawful-moves-are-let-through",
        "The database does not look a move up in the table of moves.",
        _GUARDS,
        """            when n.status <> o.status
                and not exists (select from order_moves m where m.from_status = o.status and m.to_status = n.status)
                then 'unlawful'
""",
        "",
        ("tests/store/test_schema.py::test_a_move_that_the_table_lacks_is_refused_although_every_facet_fits",),
    ),
    Bug(
        "a-lost-answer-resolved-by-version",
        "A lost answer is resolved by the order's version, which may be a rival's.",
        "order_service/store/sql/find_decisions.sql",
        "l.version = d.version and l.decision_id = d.decision_id",
        "l.version = d.version",
        ("tests/store/test_committer.py::test_a_rivals_version_is_not_taken_for_ours",),
    ),
    Bug(
        "a-repeat-refused-by-ourselves-is-believed",
        "The repeat of a decision that came through after all is called refused, by its own first statement.",
        _COMMITTER,
        "        return await self._found(one) or result\n",
        "        return result\n",
        ("tests/store/test_committer.py",),
    ),
    Bug(
        "a-lost-answer-is-a-failure",
        "A commit whose answer is lost is reported as failed, though it may have taken effect.",
        _COMMITTER,
        """        except OutcomeUnknown:
            for job in batch:
                self._do_aside(job, self._find_out(job.prepared))
        except Exception as error:""",
        """        except Exception as error:""",
        ("tests/store/test_committer.py::test_a_change_whose_commit_is_not_answered_is_there_once",),
    ),
    Bug(
        "one-poisoned-decision-fails-all",
        "A decision that the database refuses takes its neighbours along.",
        _COMMITTER,
        "        if not _data_is_at_fault(error):\n            for job",
        "        if len(batch) > 1 or not _data_is_at_fault(error):\n            for job",
        ("tests/store/test_committer.py::test_a_poisoned_decision_fails_alone",),
    ),
    Bug(
        "one-order-twice-in-a-statement",
        "Two decisions on one order stand in one statement.",
        _COMMITTER,
        "if len(batch) < self._limit and job.prepared.entry.order_id not in batch:",
        "if len(batch) < self._limit:",
        ("tests/store/test_committer.py::test_two_decisions_on_one_order_are_never_in_one_statement",),
    ),
    Bug(
        "a-client-that-goes-away-cancels-its-commit",
        "A client that goes away cancels the commit that its command is part of.",
        _COMMITTER,
        "        return await job.future\n",
        """        try:
            return await job.future
        except asyncio.CancelledError:
            self._worker.cancel()
            raise
""",
        ("tests/store/test_committer.py::test_a_waiter_that_is_cancelled_cancels_nothing",),
    ),
    Bug(
        "a-call-that-ends-without-a-version-is-told-to-nobody",
        "A call that is parked or ended without a version is hidden from those who decide at the same time.",
        _ROWS,
        'return "none" if all(_is_private(c, kinds.get(c.call_id)) for c in decision.closings) else "changed"',
        'return "none"',
        ("tests/store/test_commit.py",),
    ),
)
