"""The sandbox's screening: addresses that trigger each verdict, for an integrator to test with.

They are accounts of the sandbox's public mnemonic, the same in every sandbox, with coins to pay
from; whoever has real money knows their keys. Nothing of this is loaded anywhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sakk.core.evm import checksum_address
from sakk.core.label import Category
from sakk.core.rule import (
    BUILT_IN,
    BUILT_IN_NAME,
    PREFIX,
    Limit,
    RulesState,
    RulesVersion,
    Structuring,
    Unknown,
    rules_digest,
    rules_document,
)
from sakk.core.screening import Direction, Verdict
from sakk.rails.sandbox.chain import SandboxChain, derive_private_key, key_address, mine_until, mint
from sakk.rails.sandbox.wallet import Wallet
from sakk.screening.importers import import_list
from sakk.store import rule as rules
from sakk.store.database import Database
from sakk.store.identity import new_id, now

LIST: Final = "sandbox"
GIVEN_WHOLE: Final = 1_000
GAS_WEI: Final = 10**18
# Three payouts of an account within an hour that lie within a tenth below this wait for a person.
STRUCTURING: Final = Structuring(
    name="sandbox_structuring",
    verdict=Verdict.review,
    direction=Direction.outgoing,
    below=Limit(whole="1000"),
    width_ppm=100_000,
    count_min=3,
    seconds=3_600,
    per="account",
)
_SANDBOX: Final = "sandbox"


@dataclass(frozen=True, slots=True)
class Suspect:
    """An address, by its index in the mnemonic, and what is found about it."""

    name: str
    index: int
    verdict: Verdict
    category: Category | None = None

    @property
    def private_key(self) -> str:
        return derive_private_key(self.index)

    @property
    def address(self) -> str:
        return key_address(self.private_key)


SUSPECTS: Final = (
    Suspect("sanctioned", 4, Verdict.block, Category.sanctions),
    Suspect("mixer", 5, Verdict.review, Category.mixer),
    Suspect("thief", 6, Verdict.review, Category.theft),
    # On no list: all of its coins came from the thief, and go back there.
    Suspect("behind_thief", 7, Verdict.review),
    # On no list: both tokens deny it. It can not pay, so it is there to be paid.
    Suspect("denied_by_issuer", 8, Verdict.review),
)
_BY_NAME: Final = {each.name: each for each in SUSPECTS}


def set_up_screening(database: Database, chains: Sequence[SandboxChain]) -> None:
    """Label the addresses, give them coins, have the issuers deny one, and count amounts."""
    with TemporaryDirectory(prefix="sakk-sandbox-") as directory:
        path = Path(directory) / f"{LIST}.csv"
        lines = [
            f"{each.address},{each.category},Sandbox {each.name},eth"
            for each in SUSPECTS
            if each.category is not None
        ]
        # Where the payer's coins came from is known: it is the sandbox's exchange.
        payers = {chain.payer_address for chain in chains}
        lines += [f"{payer},{Category.exchange},Sandbox payer,eth" for payer in sorted(payers)]
        path.write_text("\n".join(["address,category,entity,network", *lines]) + "\n")
        import_list(database, path, name=LIST, kind="labels", now=now())
    _enact(database)
    for chain in chains:
        _fund(chain)


def describe_screening() -> list[dict[str, Any]]:
    """What the sandbox's description says of them."""
    return [
        {
            "name": each.name,
            "address": checksum_address(each.address),
            "private_key": each.private_key,
            "verdict": each.verdict.value,
        }
        for each in SUSPECTS
    ]


def _enact(database: Database) -> None:
    # Money appears from nowhere in a sandbox, whose nodes are anybody's to set balances on: a rule
    # about unknown origin would hold what an integrator made so.
    known = tuple(each for each in BUILT_IN[BUILT_IN_NAME] if not isinstance(each, Unknown))
    judged_by = (*known, STRUCTURING)
    with database.begin() as connection:
        base = rules.lock_change(connection, livemode=False)
        version = RulesVersion(
            id=new_id(PREFIX),
            livemode=False,
            number=rules.next_number(connection, livemode=False),
            state=RulesState.proposed.value,
            rules=rules_document(judged_by),
            digest=rules_digest(judged_by),
            note=f"{BUILT_IN_NAME} without unknown origin, and an amount that can be tested",
            base=base,
            proposed_by=_SANDBOX,
            decided_by=None,
            created=now(),
            in_force_from=None,
            in_force_to=None,
            closed_at=None,
        )
        rules.insert(connection, version)
        rules.put_in_force(connection, version, by=_SANDBOX, now=now())


def _fund(chain: SandboxChain) -> None:
    """Each way of the money is a transfer that the watcher sees and keeps.

    The coins are the issuer's and not the payer's, who would have paid a mixer then: what goes to
    whoever did is looked at.
    """
    thief, behind = _BY_NAME["thief"], _BY_NAME["behind_thief"]
    denied = _BY_NAME["denied_by_issuer"]
    with Wallet(chain.rpc_url, chain.payer_private_key) as payer:
        for each in SUSPECTS:
            mine_until(payer, payer.send_native(each.address, GAS_WEI))
    for token in chain.tokens:
        units = GIVEN_WHOLE * 10**token.decimals
        for each in SUSPECTS:
            given = 2 * units if each is thief else 0 if each is behind else units
            if given:
                mint(chain, token, each.address, given)
    with Wallet(chain.rpc_url, thief.private_key) as wallet:
        for token in chain.tokens:
            units = GIVEN_WHOLE * 10**token.decimals
            mine_until(wallet, wallet.transfer(token.contract, behind.address, units))
    with Wallet(chain.rpc_url, behind.private_key) as wallet:
        # Half goes back: whatever it pays later, more than a twentieth of it went to the thief.
        for token in chain.tokens:
            units = GIVEN_WHOLE * 10**token.decimals // 2
            mine_until(wallet, wallet.transfer(token.contract, thief.address, units))
    with Wallet(chain.rpc_url, chain.issuer_private_key) as issuer:
        for token, call in zip(chain.tokens, ("blacklist", "addBlackList"), strict=True):
            mine_until(
                issuer, issuer.call_contract(token.contract, f"{call}(address)", denied.address)
            )
