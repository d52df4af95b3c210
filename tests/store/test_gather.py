"""Questions that arrive together share a statement; what goes wrong with one is nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from order_service.store.gather import Gather


class Asked:
    """Answers each number with its square; 13 is a row that cannot be read, 0 is not there."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None
        self.squares: Gather[int, int, int] = Gather(self._rows, self._read, limit=4)

    async def _rows(self, keys: Sequence[int]) -> dict[int, int]:
        self.batches.append(list(keys))
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return {key: key for key in keys if key}

    @staticmethod
    def _read(row: int) -> int:
        if row == 13:
            raise ValueError("unreadable")
        return row * row


def test_what_comes_while_a_question_is_under_way_goes_together_into_the_next() -> None:
    async def story() -> None:
        asked = Asked()
        first = asyncio.ensure_future(asked.squares(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        rest = [asyncio.ensure_future(asked.squares(n)) for n in (2, 3, 2, 4, 5, 6)]
        await asyncio.sleep(0)
        asked.go.set()
        assert await first == 1
        assert await asyncio.gather(*rest) == [4, 9, 4, 16, 25, 36]
        assert asked.batches == [[1], [2, 3, 4, 5], [6]]

    asyncio.run(story())


def test_a_question_that_is_under_way_is_put_again_for_those_who_come_meanwhile() -> None:
    async def story() -> None:
        asked = Asked()
        first = asyncio.ensure_future(asked.squares(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert asked.batches == [[1]]
        later = asyncio.ensure_future(asked.squares(1))
        await asyncio.sleep(0)
        asked.go.set()
        assert await asyncio.gather(first, later) == [1, 1]
        assert asked.batches == [[1], [1]]

    asyncio.run(story())


def test_a_key_without_a_row_is_none_and_an_unreadable_row_is_a_fault_for_its_own_askers() -> None:
    async def story() -> None:
        asked = Asked()
        asked.go.set()
        found = await asyncio.gather(*(asked.squares(n) for n in (0, 13, 2)), return_exceptions=True)
        assert found[0] is None
        assert isinstance(found[1], ValueError)
        assert found[2] == 4

    asyncio.run(story())


def test_a_failed_statement_is_told_to_all_who_asked_and_the_next_one_is_asked_afresh() -> None:
    async def story() -> None:
        asked = Asked()
        asked.go.set()
        asked.error = ConnectionError("away")
        found = await asyncio.gather(*(asked.squares(n) for n in (1, 2)), return_exceptions=True)
        assert found == [asked.error, asked.error]
        asked.error = None
        assert await asked.squares(3) == 9

    asyncio.run(story())


def test_who_goes_away_takes_nothing_from_the_others() -> None:
    async def story() -> None:
        asked = Asked()
        gone, stays = asyncio.ensure_future(asked.squares(2)), asyncio.ensure_future(asked.squares(2))
        await asyncio.sleep(0)
        gone.cancel()
        asked.go.set()
        assert await stays == 4
        with pytest.raises(asyncio.CancelledError):
            await gone

    asyncio.run(story())


def test_no_more_keys_than_the_bound_wait_and_whoever_shares_one_is_let_in() -> None:
    async def story() -> None:
        asked = Asked()
        asked.squares = Gather(asked._rows, asked._read, most_waiting=2)
        waiting = [asyncio.ensure_future(asked.squares(n)) for n in (2, 3, 2)]
        await asyncio.sleep(0)
        with pytest.raises(ConnectionError):
            await asked.squares(4)
        asked.go.set()
        assert await asyncio.gather(*waiting) == [4, 9, 4]
        assert await asked.squares(4) == 16
        assert asked.batches == [[2, 3], [4]]

    asyncio.run(story())
