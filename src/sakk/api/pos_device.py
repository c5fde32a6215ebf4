"""Tills: phones at a counter that may ask to be paid."""

from typing import Literal

from sakk.api.context import Context, Document, Listing, ShownOnce
from sakk.api.parameters import (
    CurrencyCode,
    ListParameters,
    Metadata,
    Parameters,
    ShortText,
)
from sakk.api.payment import PaymentMethodOptions
from sakk.api.route import Resource
from sakk.api.shapes import Created, Livemode, ObjectMetadata, Page, Shape
from sakk.core import pos_device as rules
from sakk.core.metadata import merge
from sakk.core.pos_device import PosDevice
from sakk.flow import pos_device as flow
from sakk.store import pos_device as store
from sakk.store.page import fetch_page

resource = Resource("pos_devices")


class PosDeviceCreate(Parameters):
    """A till: what it is called, and in which currency it prices."""

    name: ShortText
    currency: CurrencyCode
    metadata: Metadata | None = None
    payment_method_options: PaymentMethodOptions | None = None


class PosDeviceUpdate(Parameters):
    """What changes. ``pair``: another phone becomes it, the one that was is none any more."""

    active: bool | None = None
    name: ShortText | None = None
    metadata: Metadata | None = None
    pair: bool = False


class PosDeviceListParameters(ListParameters):
    """Which tills."""


class PosCryptoShape(Shape):
    """Which networks and coins pay at it; null for all."""

    networks: list[str] | None
    currencies: list[str] | None


class PosOptionsShape(Shape):
    """Options by kind of payment method."""

    crypto: PosCryptoShape


class PosDeviceShape(Shape):
    """A till. ``pairing_url`` is shown once: open it on the phone, within a day."""

    id: str
    object: Literal["pos_device"]
    active: bool
    created: Created
    currency: str
    livemode: Livemode
    metadata: ObjectMetadata
    name: str
    paired_at: int | None
    pairing_url: str | None
    payment_method_options: PosOptionsShape


@resource.post("/v1/pos_devices", returns=PosDeviceShape, operation="create_pos_device")
def create(context: Context, body: PosDeviceCreate) -> ShownOnce:
    """Set up a till; open its ``pairing_url`` on the phone that becomes it."""
    options = (body.payment_method_options or PaymentMethodOptions()).crypto
    coins = None if options is None else options.currencies
    device, token = flow.create(
        context.connection,
        context.catalogue,
        PosDevice(
            id=context.object_id(rules.PREFIX),
            account_id=context.account_id,
            livemode=context.livemode,
            name=body.name,
            active=True,
            currency=body.currency.lower(),
            decimals=0,
            networks=None if options is None else options.networks,
            currencies=None if coins is None else [each.lower() for each in coins],
            pairing_hash=None,
            pairing_until=None,
            token_hash=None,
            paired_at=None,
            metadata=merge({}, body.metadata or {}),
            created=context.now,
        ),
        now=context.now,
    )
    return _once(context, device, token)


@resource.get("/v1/pos_devices", returns=Page[PosDeviceShape], operation="list_pos_devices")
def list_pos_devices(context: Context, query: PosDeviceListParameters) -> Listing:
    """List the tills, newest first."""
    rows, has_more = fetch_page(
        context.connection,
        store.pos_devices,
        PosDevice,
        account_id=context.account_id,
        livemode=context.livemode,
        page=query.page(),
    )
    return Listing(data=[rules.public(row) for row in rows], has_more=has_more)


@resource.get(
    "/v1/pos_devices/{pos_device}", returns=PosDeviceShape, operation="retrieve_pos_device"
)
def retrieve(context: Context, pos_device: str) -> Document:
    """Retrieve a till."""
    return rules.public(_found(context, pos_device))


@resource.post(
    "/v1/pos_devices/{pos_device}", returns=PosDeviceShape, operation="update_pos_device"
)
def update(context: Context, pos_device: str, body: PosDeviceUpdate) -> ShownOnce:
    """Name a till, switch it off or on, or pair it with another phone."""
    before = _found(context, pos_device, lock=True)
    device, token = flow.change(
        context.connection,
        before,
        active=body.active,
        name=body.name,
        metadata=merge(before.metadata, body.metadata)
        if "metadata" in body.model_fields_set
        else None,
        pair=body.pair,
        now=context.now,
    )
    return _once(context, device, token)


def _once(context: Context, device: PosDevice, token: str | None) -> ShownOnce:
    url = None if token is None else context.settings.public_url + rules.pairing_path(token)
    return ShownOnce(document=rules.public(device, pairing_url=url), stored=rules.public(device))


def _found(context: Context, pos_device: str, *, lock: bool = False) -> PosDevice:
    return flow.require(
        context.connection,
        pos_device,
        account_id=context.account_id,
        livemode=context.livemode,
        lock=lock,
    )
