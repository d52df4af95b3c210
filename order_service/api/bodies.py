"""The request bodies: their shapes, bounds included, are the published schemas and the strict reader at once.

An optional text or object may be null, which is the same as leaving it out; amounts and metadata may only be left
out. Lengths count Unicode code points, amounts are minor units of the order's currency.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import fields

from order_service.api.cards import holds_card_number
from order_service.api.codes import COUNTRIES, CURRENCIES
from order_service.core.lifecycle import Status
from order_service.core.messages import Cancel, GiveUpCall, Pay, PlaceOrder, RefundOrder, SetStatus
from order_service.core.model import MAX_AMOUNT, Address, Contacts, Line, Shipment

MAX_ITEMS = 200
MAX_QUANTITY = 1_000_000
MAX_TEXT = 2000
"""Characters of the longest text that any member may hold."""
USER_ID = r"^[A-Za-z0-9._:@-]{1,128}\Z"
WEB_URL = r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?#][!-~]*)?\Z"

T = TypeVar("T")
Amount: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_AMOUNT, description="Minor units of the currency.")]
Quantity: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_QUANTITY)]
UserId: TypeAlias = Annotated[str, Meta(pattern=USER_ID)]
Currency: TypeAlias = Annotated[
    str, Meta(description="ISO 4217, three capitals.", extra_json_schema={"enum": sorted(CURRENCIES)})
]
Country: TypeAlias = Annotated[
    str, Meta(description="ISO 3166-1 alpha-2, two capitals.", extra_json_schema={"enum": sorted(COUNTRIES)})
]
Short: TypeAlias = Annotated[str, Meta(min_length=1, max_length=100)]
Code: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
Line200: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=500)]
Reason: TypeAlias = Annotated[str, Meta(min_length=1, max_length=500)]
Metadata: TypeAlias = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=512)]],
    Meta(max_length=50, description="The shop's own notes: at most 50 pairs of strings."),
]


class _Body(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A body with camelCase members, all of them known."""


class ItemBody(_Body, frozen=True):
    """One line of the order."""

    product_id: Code
    name: Name
    quantity: Quantity
    unit_price: Amount
    sku: Code | UnsetType | None = UNSET


class AddressBody(_Body, frozen=True):
    """A postal address."""

    name: Line200
    line1: Line200
    city: Short
    postal_code: Annotated[str, Meta(min_length=1, max_length=20)]
    country: Country
    line2: Annotated[str, Meta(max_length=200)] | UnsetType | None = UNSET
    region: Annotated[str, Meta(max_length=100)] | UnsetType | None = UNSET
    phone: Annotated[str, Meta(max_length=40)] | UnsetType | None = UNSET
    email: Annotated[str, Meta(max_length=254)] | UnsetType | None = UNSET


class PaymentMethodBody(_Body, frozen=True):
    """What stands for the customer's means of payment; never in an answer, never logged."""

    token: Annotated[str, Meta(min_length=1, max_length=255)]

    def __repr__(self) -> str:
        """Keep the token out of logs and tracebacks."""
        return "PaymentMethodBody(token='***')"


class CreateOrder(_Body, frozen=True):
    """An order to be placed."""

    user_id: UserId
    currency: Currency
    items: Annotated[list[ItemBody], Meta(min_length=1, max_length=MAX_ITEMS)]
    shipping_address: AddressBody
    billing_address: AddressBody | UnsetType | None = UNSET
    payment_method: PaymentMethodBody | UnsetType | None = UNSET
    shipping_cost: Amount | UnsetType = UNSET
    tax: Amount | UnsetType = UNSET
    discount: Amount | UnsetType = UNSET
    notes: Annotated[str, Meta(max_length=MAX_TEXT)] | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET


class PayOrder(_Body, frozen=True):
    """Pay with this method, or with the order's own."""

    payment_method: PaymentMethodBody | UnsetType | None = UNSET


class CancelOrder(_Body, frozen=True):
    """Cancel, and why."""

    reason: Reason | UnsetType | None = UNSET


class ShipmentBody(_Body, frozen=True):
    """Who carries the goods, and where to follow them."""

    carrier: Short
    tracking_number: Short
    url: Annotated[str, Meta(max_length=MAX_TEXT, pattern=WEB_URL)] | UnsetType | None = UNSET


class PutStatus(_Body, frozen=True):
    """The status the order shall have; ``shipment`` only with ``shipped``."""

    status: Status
    reason: Reason | UnsetType | None = UNSET
    shipment: ShipmentBody | UnsetType | None = UNSET


class RefundBody(_Body, frozen=True):
    """Give back ``amount``, or all that is left."""

    reason: Reason
    amount: (
        Annotated[int, Meta(ge=1, le=MAX_AMOUNT, description="Minor units; all that is left if absent.")]
        | UnsetType
        | None
    ) = UNSET


class CallNote(_Body, frozen=True):
    """What people did instead; needed to give up a refund, and kept only by a give-up."""

    note: Reason | UnsetType | None = UNSET


MEMBERS = frozenset(
    field.encode_name
    for body in (
        CreateOrder,
        ItemBody,
        AddressBody,
        PayOrder,
        CancelOrder,
        PutStatus,
        ShipmentBody,
        RefundBody,
        CallNote,
    )
    for field in fields(body)
)
"""The names of all members of all bodies."""


class Unsound(Exception):
    """The parts of a body are right, but not together; the faults are told by ``rules``."""


def given(value: T | UnsetType | None) -> T | None:
    """The value, or None where the member was left out."""
    return None if value is UNSET else value


def to_place_order(body: CreateOrder) -> PlaceOrder:
    """The message, with sums within bounds; order id and number are for the service to fill in."""
    if body.currency not in CURRENCIES:
        raise Unsound
    lines = []
    subtotal = 0
    for number, item in enumerate(body.items, 1):
        total = item.quantity * item.unit_price
        subtotal += total
        lines.append(Line(number, item.product_id, item.name, item.quantity, item.unit_price, total, given(item.sku)))
    shipping_cost, tax, discount = body.shipping_cost or 0, body.tax or 0, body.discount or 0
    if subtotal > MAX_AMOUNT or not 0 <= subtotal + shipping_cost + tax - discount <= MAX_AMOUNT:
        raise Unsound
    billing = _address(body.billing_address) if body.billing_address else None
    contacts = Contacts(_address(body.shipping_address), billing, _free(body.notes))
    metadata = body.metadata or {}
    for value in metadata.values():
        _free(value)
    return PlaceOrder(
        order_id="",
        order_number="",
        user_id=body.user_id,
        currency=body.currency,
        items=tuple(lines),
        contacts=contacts,
        shipping_cost=shipping_cost,
        tax=tax,
        discount=discount,
        token=_token(body.payment_method),
        metadata=metadata,
    )


def _free(text: str | UnsetType | None) -> str | None:
    """Free text, which must not hold a card number."""
    if not text:
        return None if text is UNSET else text
    if holds_card_number(text):
        raise Unsound
    return text


def _token(method: PaymentMethodBody | UnsetType | None) -> str | None:
    return _free(method.token) if method else None


def _address(body: AddressBody) -> Address:
    if body.country not in COUNTRIES:
        raise Unsound
    return Address(
        body.name,
        body.line1,
        body.city,
        body.postal_code,
        body.country,
        given(body.line2),
        given(body.region),
        given(body.phone),
        given(body.email),
    )


def to_pay(body: PayOrder) -> Pay:
    """The message."""
    return Pay(_token(body.payment_method))


def to_cancel(body: CancelOrder) -> Cancel:
    """The message."""
    return Cancel(_free(body.reason))


def to_set_status(body: PutStatus) -> SetStatus:
    """The message; a shipment belongs to ``shipped`` alone."""
    told, shipment = body.shipment, None
    if told:
        if body.status is not Status.SHIPPED:
            raise Unsound
        shipment = Shipment(told.carrier, told.tracking_number, given(told.url))
    return SetStatus(body.status, _free(body.reason), shipment)


def to_refund(body: RefundBody) -> RefundOrder:
    """The message."""
    return RefundOrder(_free(body.reason) or "", given(body.amount))


def to_give_up(body: CallNote) -> GiveUpCall:
    """The message; the route fills in the call's id."""
    return GiveUpCall("", _free(body.note))
