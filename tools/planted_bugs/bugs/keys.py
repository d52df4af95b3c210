"""Faults of Idempotency-Keys and of whose order it is: two effects, two answers, somebody else's answer."""

from tools.planted_bugs.bug import Bug

_ENGINE = "order_service/engine.py"
_SERVICE = "order_service/service.py"
_KEYS = "tests/engine/test_keys.py"

KEYS = (
    Bug(
        "another-body-under-the-same-key",
        "A key that comes with another body is answered with the first one's answer.",
        _SERVICE,
        "        if row.fingerprint != ask.fingerprint:\n            raise KeyReused\n",
        "",
        (f"{_KEYS}::test_an_answer_that_changed_nothing_is_remembered_under_its_key_too",),
    ),
    Bug(
        "keys-shared-between-callers",
        "The key of one caller is found by another one, who gets the answer that was not meant for him.",
        "order_service/store/sql/find_key.sql",
        "where (w.principal, w.route, w.key) = (a.principal, a.route, a.key)",
        "where (w.route, w.key) = (a.route, a.key)",
        (f"{_KEYS}::test_a_key_belongs_to_one_caller_one_route_and_one_order",),
    ),
    Bug(
        "an-interim-answer-is-remembered",
        "A 202 is stored as the final answer, and no repeat ever tells what came of it.",
        _SERVICE,
        """        if not result.settled:
            await release_key(self._pool, ask.principal.name, ask.route, ask.key)
            return reply
""",
        "",
        (f"{_KEYS}::test_a_202_is_not_remembered_and_its_repeat_tells_what_came_of_it",),
    ),
    Bug(
        "the-later-answer-is-remembered",
        "An answer that comes later replaces the one that the client has got.",
        "order_service/store/sql/remember.sql",
        "(r.principal, r.route, r.key) and k.response_status is null",
        "(r.principal, r.route, r.key)",
        ("tests/store/test_keys.py::test_the_first_final_answer_is_the_answer",),
    ),
    Bug(
        "a-settled-answer-is-not-stored-with-its-decision",
        "What a waiting request is answered with is not remembered in the statement that settles it.",
        _ENGINE,
        "            remember=tuple(remember),\n",
        "",
        (_KEYS,),
    ),
    Bug(
        "a-twin-in-flight-goes-through",
        "A twin of a request in flight is not told so, but answered with what there is by now.",
        _SERVICE,
        "        if row.busy:\n            raise RequestInFlight\n        loaded",
        "        loaded",
        (f"{_KEYS}::test_a_twin_in_flight_is_told_so_on_every_replica_and_changes_nothing",),
    ),
    Bug(
        "a-command-whose-key-is-taken-goes-through-without-it",
        "A command whose key was bound by its twin meanwhile is applied once more, without the key.",
        _ENGINE,
        """                case Verdict.KEY_TAKEN:
                    raise KeyTaken
            await asyncio.sleep""",
        """                case Verdict.KEY_TAKEN:
                    key = None
            await asyncio.sleep""",
        (f"{_KEYS}::test_a_command_whose_key_its_twin_binds_meanwhile_has_the_twins_answer_and_no_effect",),
    ),
    Bug(
        "no-key-for-what-changes-nothing",
        "A command that changes nothing binds no key, so that its repeat later may do something.",
        _ENGINE,
        "                if key is None:\n                    return Applied(decision, loaded, written=False)\n",
        "                return Applied(decision, loaded, written=False)\n",
        (f"{_KEYS}::test_an_answer_that_changed_nothing_is_remembered_under_its_key_too",),
    ),
    Bug(
        "if-match-is-not-looked-at",
        "A command on a version that the client has not seen goes through.",
        _ENGINE,
        "            if if_match is not None and loaded.state.order.version != if_match:\n",
        "            if if_match is not None and loaded.state.order.version < if_match:\n",
        ("tests/system/test_life.py::test_a_stale_if_match_is_refused_and_writes_nothing",),
    ),
    Bug(
        "keys-are-forgotten-at-once",
        "Idempotency-Keys are forgotten by the next purge, and not after thirty days.",
        "order_service/store/keys.py",
        "KEPT_S = 30 * 86400.0",
        "KEPT_S = 0.0",
        ("tests/store/test_keys.py::test_old_keys_are_forgotten_a_bounded_number_at_a_time",),
    ),
    Bug(
        "the-orders-of-others-are-shown",
        "A customer reads, pays and cancels the orders of others.",
        _SERVICE,
        "return _sees_all(principal) or principal.user == user_id",
        "return _sees_all(principal) or principal.user is not None",
        ("tests/auth/test_matrix.py",),
    ),
)
