"""``sakk treasury list|add|unfreeze``: the addresses that payments leave from, side by side."""

from typing import Annotated

import typer

from sakk.cli.open import begin, opened_database
from sakk.cli.out import Json, console, print_json, print_table
from sakk.core.errors import ParameterInvalid
from sakk.core.evm import checksum_address, parse_address
from sakk.core.sender import TreasuryRole
from sakk.flow.context import Parts
from sakk.flow.sender import standings
from sakk.flow.sender import unfreeze as unfreeze_sender
from sakk.rails.evm.send import nonces
from sakk.runtime.place import signer_socket
from sakk.runtime.wiring import rail_cache
from sakk.signing.client import SignerClient
from sakk.store.address import list_treasury, put_treasury
from sakk.store.identity import now
from sakk.store.network import list_assets, list_networks
from sakk.store.transaction import next_nonce

_DOES = {TreasuryRole.gas: "orders gas", TreasuryRole.capture: "carries out payments"}


def show(
    network: Annotated[str | None, typer.Option(help="CAIP-2; all that are enabled.")] = None,
    as_json: Json = False,
) -> None:
    """Show what each can spend of each asset, its queue, and its nonces here and on the chain.

    What transactions of ours are about to take is not counted.
    """
    rows: list[dict[str, object]] = []
    with opened_database() as database:
        parts = Parts(database, rail=rail_cache())
        with database.begin() as connection:
            networks = [
                each
                for each in list_networks(connection)
                if each.enabled and network in (None, each.network)
            ]
            listed = list_assets(connection)
        for found in networks:
            assets = [each.asset for each in listed if each.network == found.network]
            for asset, each_standing in standings(parts, found, assets).items():
                for each in each_standing:
                    with database.begin() as connection:
                        ours = next_nonce(connection, found.network, each.address)
                    rows.append(
                        {
                            "network": found.network,
                            "address": checksum_address(each.address),
                            "key_index": each.key_index,
                            "role": each.role,
                            "asset": asset,
                            "spare_units": str(each.spare_units),
                            "in_flight": each.in_flight,
                            "nonce": nonces(parts.rail_of(found).rpc, each.address).latest,
                            "next_nonce": ours,
                            "frozen": each.frozen_reason,
                        }
                    )
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


def add() -> None:
    """Take over the addresses that the signer's policy names in treasury_indexes. Repeat freely.

    Payments leave from all of them at once; each needs coins and native coin for gas. Those of
    gas_indexes order gas and collections, those of capture_indexes carry out what payers signed;
    neither pays anybody.
    """
    settings = begin(log_level="warning")
    with SignerClient(signer_socket(settings)) as signer:
        public = signer.public()
        named = public.treasury_addresses
    with opened_database() as database, database.begin() as connection:
        before = {each.address for each in list_treasury(connection)}
        put_treasury(connection, named, livemode=False, now=now())
        put_treasury(
            connection, public.gas_addresses, livemode=False, now=now(), role=TreasuryRole.gas
        )
        put_treasury(
            connection,
            public.capture_addresses,
            livemode=False,
            now=now(),
            role=TreasuryRole.capture,
        )
        known = list_treasury(connection)
    fresh = [each for each in known if each.address not in before]
    for each in fresh:
        does = _DOES.get(each.treasury_role, "pays")
        address = checksum_address(each.address)
        console.print(f"{address} (key {each.key_index}) {does} from now on.")
    if not fresh:
        console.print(
            f"Nothing new: the policy names {sorted(named)}. Name one more index in"
            " treasury_indexes of the signer's policy file first."
        )


def unfreeze(
    network: Annotated[str, typer.Argument(help="CAIP-2.")],
    address: Annotated[str, typer.Argument(help="The address that is frozen.")],
) -> None:
    """Send from an address again that a foreign transaction froze, after you know whose it was."""
    try:
        sender = parse_address(address)
    except ValueError as error:
        raise ParameterInvalid(f"Invalid address: {error}.", param="address") from None
    with opened_database() as database:
        nonce = unfreeze_sender(Parts(database, rail=rail_cache()), network, sender)
    console.print(f"{address} sends on {network} again, from nonce {nonce} on.")
