"""What the service may ask of its three partners.

Every method takes part in one exchange and returns one value; nothing is raised for anything a partner or the
network does. `key` is the Idempotency-Key of a write, the same at every repeat. `deadline_s` bounds the
whole exchange, the wait for a connection included, in seconds. Amounts are integers in minor units.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from order_service.core.answers import (
    CartAbsent,
    CartContents,
    ChargeAnswer,
    ClearCartAnswer,
    CommitAnswer,
    Lied,
    ReadPaymentAnswer,
    ReadRefundAnswer,
    RefundAnswer,
    ReleaseAnswer,
    ReservationAbsent,
    ReservationState,
    ReserveAnswer,
    Unanswered,
    VoidAnswer,
)
from order_service.core.model import KEY_SAFE_PART
from order_service.core.requests import (
    AvailabilityRequest,
    ChargeRequest,
    ClearCartRequest,
    CommitRequest,
    ReadPaymentRequest,
    ReadRefundRequest,
    RefundRequest,
    ReleaseRequest,
    ReserveRequest,
    VoidRequest,
)

AvailabilityAnswer: TypeAlias = Mapping[str, int] | Unanswered
"""Pieces to be had of every product asked for, 0 or more; anything less complete is `Unanswered`."""
ReservationAnswer: TypeAlias = ReservationState | ReservationAbsent | Unanswered | Lied
CartAnswer: TypeAlias = CartContents | CartAbsent | Unanswered | Lied


class Inventory(Protocol):
    """The partner that has the goods."""

    async def availability(
        self, request: AvailabilityRequest, key: str, *, deadline_s: float, correlation_id: str = ""
    ) -> AvailabilityAnswer:
        """Ask what can be had. Changes nothing; use a fresh key each time, or the answer may be old."""
        ...

    async def reserve(
        self, request: ReserveRequest, key: str, *, deadline_s: float, correlation_id: str = "", alone: bool = True
    ) -> ReserveAnswer:
        """Hold all items or none. Unless ``alone``, it may share its request with others that begin at this moment."""
        ...

    async def release(
        self, request: ReleaseRequest, key: str, *, deadline_s: float, correlation_id: str = ""
    ) -> ReleaseAnswer:
        """Give back what is held, for good."""
        ...

    async def commit(
        self, request: CommitRequest, key: str, *, deadline_s: float, correlation_id: str = ""
    ) -> CommitAnswer:
        """Say that the goods have left."""
        ...

    async def get(self, reservation_id: str, *, deadline_s: float, correlation_id: str = "") -> ReservationAnswer:
        """Ask how a reservation stands."""
        ...


class Cart(Protocol):
    """The partner that keeps what users have put in their carts."""

    async def get(self, user_id: str, *, deadline_s: float, correlation_id: str = "") -> CartAnswer:
        """Ask what is in the cart, and at which prices."""
        ...

    async def clear(
        self, request: ClearCartRequest, key: str, *, deadline_s: float, correlation_id: str = ""
    ) -> ClearCartAnswer:
        """Take the ordered quantities out."""
        ...


@dataclass(frozen=True)
class KeyPolicy:
    """For how many seconds a payment service remembers that the same key has the same one effect."""

    key_ttl_s: float

    @property
    def safe_s(self) -> float:
        """How old a key may be to be sent again: with a fifth of its life to spare."""
        return KEY_SAFE_PART * self.key_ttl_s


class Payment(Protocol):
    """The partner that moves the money."""

    @property
    def keys(self) -> KeyPolicy:
        """How long its keys live."""
        ...

    async def charge(
        self, request: ChargeRequest, key: str, *, deadline_s: float, correlation_id: str = ""
    ) -> ChargeAnswer:
        """Charge once per reference."""
        ...

    async def void(self, request: VoidRequest, key: str, *, deadline_s: float, correlation_id: str = "") -> VoidAnswer:
        """Stop a charge that has not happened."""
        ...

    async def read(
        self, request: ReadPaymentRequest, *, deadline_s: float, correlation_id: str = ""
    ) -> ReadPaymentAnswer:
        """Ask how a payment stands, by id if the request has one, else by reference."""
        ...

    async def refund(
        self, request: RefundRequest, key: str, *, deadline_s: float, correlation_id: str = ""
    ) -> RefundAnswer:
        """Give money back once per reference; a refusal (409) is a failed refund without an id."""
        ...

    async def read_refund(
        self, request: ReadRefundRequest, *, deadline_s: float, correlation_id: str = ""
    ) -> ReadRefundAnswer:
        """Ask how a refund stands."""
        ...
