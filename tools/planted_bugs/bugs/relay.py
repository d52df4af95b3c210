"""Faults between the log and the topic: rows that are skipped, events out of order, two owners."""

from tools.planted_bugs.bug import Bug

_RELAY = "order_service/relay.py"
_BROKER = "order_service/broker.py"
_READ = "order_service/store/sql/read_log.sql"
_OWN = "order_service/store/sql/own_reader.sql"
_READER = "tests/store/test_reader.py"
_LATE = f"{_READER}::test_a_row_that_becomes_visible_late_is_lost_to_who_goes_by_position_and_not_to_us"
_HORIZON = "    and (l.epoch < e.epoch or l.xid < pg_snapshot_xmin(pg_current_snapshot()))\n"

RELAY = (
    Bug(
        "the-log-is-read-by-id",
        "The log is read by position, so that a row that becomes visible late is lost for good.",
        _READ,
        f"""where (l.epoch, l.xid, l.position) > (:epoch::int, :xid::text::xid8, :position::bigint)
{_HORIZON}order by l.epoch, l.xid, l.position
""",
        """where l.position > :position::bigint and :epoch::int is not null and :xid::text is not null
order by l.position
""",
        (_LATE,),
    ),
    Bug(
        "the-log-is-read-above-the-horizon",
        "Rows are read that a transaction still running may precede.",
        _READ,
        _HORIZON,
        "",
        (_LATE,),
    ),
    Bug(
        "a-break-of-the-log-is-quiet",
        "A log that does not go on where it ended is read on.",
        "order_service/store/reader.py",
        'if not row["sound"] or (seen is not None and version > seen + 1):',
        "if seen is not None and version > seen + 1:",
        (f"{_READER}::test_a_break_of_the_log_is_loud",),
    ),
    Bug(
        "two-owners-of-the-log",
        "A relay takes the log from an owner that is alive.",
        _OWN,
        "where r.lease_until <= now() or r.owner = excluded.owner\n",
        "",
        (f"{_READER}::test_there_is_one_owner_until_its_lease_ends",),
    ),
    Bug(
        "a-lease-that-was-lost-is-waited-for",
        "A relay that lost hold of its own lease waits until it has run out, like anybody else.",
        _OWN,
        " or r.owner = excluded.owner",
        "",
        (f"{_READER}::test_who_lost_hold_of_its_lease_takes_it_again_at_once_and_what_it_began_before_counts_no_more",),
    ),
    Bug(
        "a-new-owner-keeps-the-token",
        "The token does not rise with the owner, so that the last one still moves the cursor.",
        _OWN,
        "token = r.token + 1, lease_until",
        "token = r.token, lease_until",
        (f"{_READER}::test_there_is_one_owner_until_its_lease_ends",),
    ),
    Bug(
        "the-cursor-moves-whoever-asks",
        "A former owner moves the cursor on.",
        "order_service/store/sql/advance_reader.sql",
        "where name = :name and token = :token",
        "where name = :name and :token::bigint is not null",
        (f"{_READER}::test_a_former_owner_moves_no_cursor_and_gives_no_lease_back",),
    ),
    Bug(
        "the-relay-goes-on-past-a-failed-record",
        "A record that failed is left behind, and what follows it is sent.",
        _RELAY,
        '            raise Failed(f"a record was not delivered (error {code})")\n        await sender.close()\n',
        "            await reader.advance(rows[-1].cursor)\n            return\n        await sender.close()\n",
        ("tests/relay/test_failures.py::test_behind_a_record_that_fails_nothing_is_sent_and_the_cursor_stays",),
    ),
    Bug(
        "the-cursor-moves-before-the-acknowledgement",
        "The cursor moves when records are handed over, and not when they are acknowledged.",
        _RELAY,
        "        await self._acknowledged(delivery)\n        done = delivery.contiguous\n",
        "        done = len(out)\n",
        ("tests/relay/test_failures.py",),
    ),
    Bug(
        "the-stream-of-a-refused-record-goes-on",
        "A record that is refused for good is left out, and its order's stream goes on behind the gap.",
        _RELAY,
        "                    parked.add(row.order_id)\n                    return False\n",
        "                    return False\n",
        (
            "tests/relay/test_relay.py::test_what_follows_a_refused_record_is_held_back_also_if_the_broker_would_take_it",
        ),
    ),
    Bug(
        "a-frozen-owner-sends-when-it-wakes",
        "An owner that was frozen past its lease sends what it had read.",
        _RELAY,
        "if time.monotonic() - self._kept_at > self._lease_s:\n                    # A process",
        "if time.monotonic() < self._kept_at:\n                    # A process",
        ("tests/relay/test_failures.py",),
    ),
    Bug(
        "records-without-a-key",
        "Records go to any partition, so that the events of an order overtake each other.",
        _BROKER,
        "                    key=record.key,\n",
        "",
        ("tests/relay/test_relay.py",),
    ),
    Bug(
        "a-record-times-out",
        "A record that the broker does not take within seconds is given up by the client library.",
        _BROKER,
        '"message.timeout.ms": 0,',
        '"message.timeout.ms": 1000,',
        ("tests/relay/test_failures.py::test_the_client_library_gives_up_no_record_by_itself",),
    ),
    Bug(
        "event-ids-by-version",
        "The id of an event is made from the version, so that two events of one version have the same one.",
        "order_service/events.py",
        '("ce_id", b"%b.%d" % (order_id, sequence)),',
        '("ce_id", b"%b.%d" % (order_id, row.version)),',
        ("tests/relay/test_relay.py::test_a_record_is_a_cloud_event_in_binary_mode",),
    ),
    Bug(
        "what-is-read-ahead-is-read-twice",
        "The rows read while the broker writes are those that it is writing.",
        _RELAY,
        "reader.read(rows[-1].cursor, limit=limit)",
        "reader.read(limit=limit)",
        ("tests/relay/test_relay.py::test_the_events_of_each_order_come_in_their_order_without_a_gap",),
    ),
    Bug(
        "a-relay-that-cannot-end",
        "The keeper of the lease loses the word to end when it comes while the lease is being prolonged.",
        _RELAY,
        """                async with asyncio.timeout(self._lease_s / 4):
                    await reader.keep()
""",
        """                await asyncio.wait_for(reader.keep(), self._lease_s / 4)
""",
        ("tests/relay/test_failures.py::test_a_keeper_told_to_end_while_the_lease_is_being_prolonged_ends",),
    ),
)
