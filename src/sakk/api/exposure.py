"""Exposures: where an address's money came from. The operator's alone, as screenings are."""

from typing import Annotated, Literal

from pydantic import Field

from sakk.api.context import Context, Document
from sakk.api.parameters import Parameters, Timestamp
from sakk.api.route import Resource
from sakk.api.shapes import Shape
from sakk.core.caip import erc20_asset
from sakk.core.errors import ParameterInvalid, ParameterMissing, ResourceMissing
from sakk.core.exposure import Exposure, Method, Way, to_public
from sakk.store.network import find_network

resource = Resource("exposures")

Number = Annotated[int, Field(ge=0, le=(1 << 63) - 1)]


class ExposureParameters(Parameters):
    """How; ``height`` and ``lists_version`` give an earlier answer again."""

    direction: Way = Way.source
    method: Method = Method.walk
    since: Annotated[
        Timestamp | None, Field(description="A walk over what was received (or sent) from then on.")
    ] = None
    height: Number | None = None
    lists_version: Number | None = None


class PartShape(Shape):
    """What leads to one category; of it, what does so over one transfer."""

    category: str
    amount: str
    direct_amount: str
    share_ppm: int


class HopShape(Shape):
    """A transfer of the path, and the address that it leads to."""

    address: str
    tx_hash: str


Hops = list[HopShape]


class PathShape(Shape):
    """Evidence: the transfers to an address that a list names, nearest first."""

    category: str
    entity: str | None
    list: str | None
    amount: str
    hops: Hops


class ExposureShape(Shape):
    """The parts and the unknown sum to the total exactly, in the token's smallest units."""

    object: Literal["exposure"]
    network: str
    asset: str
    address: str
    direction: Way
    method: Method
    total_amount: str
    parts: list[PartShape]
    unknown_amount: str
    unknown_ppm: int
    paths: list[PathShape]
    is_cut: bool
    height: int
    lists_version: int


@resource.get(
    "/v1/exposures/{network}/{contract}/{address}",
    returns=ExposureShape,
    operation="retrieve_exposure",
    operator_only=True,
    asks_outside=True,
)
def retrieve(
    context: Context, network: str, contract: str, address: str, query: ExposureParameters
) -> Document:
    """Retrieve where an address's money came from, or went, in the token of one contract."""
    with context.database.begin() as connection:
        found = find_network(connection, network)
    if found is None or found.livemode != context.livemode:
        raise ResourceMissing(f"No such network: {network[:80]!r}", param="network")
    try:
        asset = erc20_asset(network, contract)
    except ValueError as error:
        raise ParameterInvalid(str(error), param="contract") from None
    return to_public(_answer(context, network, asset, address, query))


def _answer(
    context: Context, network: str, asset: str, address: str, query: ExposureParameters
) -> Exposure:
    exposures, since = context.parts.exposures(), query.since or 0
    if query.method is not Method.walk and (query.direction is not Way.source or since):
        raise ParameterInvalid(
            f"The method {query.method} says what an address holds now: leave direction and since"
            " out.",
            param="method",
        )
    if query.height is not None or query.lists_version is not None:
        if query.height is None or query.lists_version is None:
            missing = "height" if query.height is None else "lists_version"
            raise ParameterMissing("height and lists_version go together.", param=missing)
        return exposures.exposure_at(
            network,
            asset,
            address,
            query.direction,
            height=query.height,
            lists_version=query.lists_version,
            since=since,
            method=query.method,
        )
    if query.method is Method.haircut:
        return exposures.held(network, asset, address)
    if query.method is Method.fifo:
        return exposures.fifo(network, asset, address)
    return exposures.exposure(network, asset, address, query.direction, since=since)
