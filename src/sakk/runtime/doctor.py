"""``sakk doctor``: look at everything an operator can get wrong, and say how to mend it."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from sakk.core.errors import SakkError
from sakk.core.network import Network
from sakk.core.person import BOOTSTRAP_ADMINS
from sakk.flow.clone import follow_factory
from sakk.flow.context import Parts
from sakk.ledger.machine import Make, serving
from sakk.ledger.projection import LATE_SECONDS, lag
from sakk.rails.evm.balances import token_facts
from sakk.rails.evm.rail import EvmRail
from sakk.runtime.place import database_url, signer_socket
from sakk.runtime.settings import Settings, unknown_variables
from sakk.runtime.vault import read_vault
from sakk.runtime.wiring import make_rail
from sakk.screening.importers import lists
from sakk.signing.client import SignerClient
from sakk.store.account import find_operator
from sakk.store.address import find_seeds, list_payers
from sakk.store.api_key import count_loose_keys
from sakk.store.clone import list_factories, stranded
from sakk.store.database import Database, open_database
from sakk.store.freeze import list_in_force
from sakk.store.identity import now
from sakk.store.migrate import current_revision
from sakk.store.network import find_cursor, list_assets, list_networks
from sakk.store.person import count_admins
from sakk.store.policy import find_active
from sakk.store.regime import find_active as find_regime
from sakk.store.revision import expected_revision
from sakk.store.tank import list_tanks

BLOCKS_BEHIND_MAX = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    ok: bool
    subject: str
    message: str


def examine(settings: Settings) -> list[Finding]:
    """Every finding, good ones too."""
    findings = [
        Finding(False, "settings", f"{name} is no setting of Sakk: most likely misspelt.")
        for name in unknown_variables()
    ]
    try:
        url = database_url(settings)
        findings.append(_migrations(url))
        database = open_database(url)
    except (SakkError, SQLAlchemyError) as error:
        return [*findings, Finding(False, "database", _words(error))]
    try:
        checks: list[Callable[[], Iterator[Finding]]] = [
            lambda: _ledger(url),
            lambda: _accounts(database),
            lambda: examine_policy(database),
            lambda: examine_regime(settings, database),
            lambda: _freezes(database),
            lambda: _signer(settings, database),
            lambda: _networks(database),
            lambda: examine_providers(database),
            lambda: examine_clones(database, make_rail),
            lambda: _gas(database),
            lambda: _lists(database),
        ]
        for check in checks:
            try:
                findings += list(check())
            except (SakkError, SQLAlchemyError, OSError) as error:
                findings.append(Finding(False, "check", _words(error)))
    finally:
        database.close()
    return findings


def _words(error: Exception) -> str:
    return error.message if isinstance(error, SakkError) else str(error).splitlines()[0]


def _migrations(url: str) -> Finding:
    current, expected = current_revision(url), expected_revision()
    if current == expected:
        return Finding(True, "database", f"reachable, at revision {current}")
    return Finding(
        False,
        "database",
        f"at revision {current}, this version needs {expected}: `sakk serve` migrates at its start",
    )


def _ledger(url: str) -> Iterator[Finding]:
    behind = lag(url)
    message = f"the projection is {behind.events} events and {behind.seconds:.0f} s behind"
    if behind.seconds > LATE_SECONDS:
        message += ": statements and searches show an older moment (docs/operating/projection.md)"
    yield Finding(behind.seconds <= LATE_SECONDS, "ledger", message)
    yield examine_machine()


def examine_machine() -> Finding:
    """Which machine the ledger runs on; the slow one is a finding."""
    if serving() is Make.compiled:
        return Finding(True, "ledger", "the compiled machine serves")
    return Finding(
        False,
        "ledger",
        "the reference machine serves, which is right but several times slower: the compiled one"
        " is not built; run `make setup` where a C compiler and Python's headers are installed",
    )


def _accounts(database: Database) -> Iterator[Finding]:
    with database.begin() as connection:
        operator = find_operator(connection)
    if operator is None:
        yield Finding(False, "accounts", "no operator: `sakk accounts create NAME --operator`")
    else:
        yield Finding(True, "accounts", f"the operator is {operator.id}")


def examine_policy(database: Database) -> Iterator[Finding]:
    """Real money waits until people have made a policy; keys that are nobody's are told of."""
    with database.begin() as connection:
        if not list_networks(connection, livemode=True):
            return
        active = find_active(connection, livemode=True)
        admins = count_admins(connection, livemode=True)
        loose = count_loose_keys(connection, livemode=True)
    yield Finding(
        admins >= BOOTSTRAP_ADMINS,
        "persons",
        f"{admins} admins for real money"
        + ("" if admins >= BOOTSTRAP_ADMINS else ": `sakk persons create NAME EMAIL --live`"),
    )
    yield Finding(
        active is not None,
        "policy",
        "none for real money, so every payout waits: `sakk policies propose FILE --live`"
        if active is None
        else f"version {active.number} is in force for real money",
    )
    if admins and loose:
        yield Finding(
            False,
            "keys",
            f"{loose} live keys of the operator belong to no person: revoke them",
        )


def examine_regime(settings: Settings, database: Database) -> Iterator[Finding]:
    """Which Travel Rule regime is in force for real money; that none applies is a choice too."""
    with database.begin() as connection:
        if not list_networks(connection, livemode=True):
            return
        choice = find_regime(connection, livemode=True)
    if choice is None:
        yield Finding(
            False,
            "travel rule",
            "no regime was chosen for real money, so nothing is asked of payouts: "
            "`sakk travel-rule choose PRESET --live`, or `none`",
        )
        return
    yield Finding(True, "travel rule", f"the regime {choice.name} is in force for real money")
    if choice.regime is not None and read_vault(settings) is None:
        yield Finding(
            False,
            "travel rule",
            "its data is sealed, and this machine has no vault key: payouts are refused here",
        )


def _freezes(database: Database) -> Iterator[Finding]:
    with database.begin() as connection:
        found = list_in_force(connection)
    for each in found:
        message = f"{each.scope} since {each.created:%Y-%m-%d %H:%M} UTC: {each.reason}"
        yield Finding(False, f"freeze {each.id}", f"{message}; `sakk unfreeze` ends it")
        if each.reaches_signer and each.signer_at is None:
            yield Finding(False, f"freeze {each.id}", "the signer has not been told yet")


def _signer(settings: Settings, database: Database) -> Iterator[Finding]:
    with database.begin() as connection:
        first, *later = find_seeds(connection)
        treasury = {each.address for each in list_payers(connection)}
    client = SignerClient(signer_socket(settings))
    try:
        public, status = client.public(), client.status()
    finally:
        client.close()
    known = {seed.first_index: seed.xpub for seed in later}
    same = (public.xpub, public.later_xpubs) == (first.xpub, known) and set(
        public.treasury_addresses.values()
    ) >= treasury
    yield Finding(
        same,
        "signer",
        "its keys are the ones that addresses are issued from"
        if same
        else "its keys are NOT those of this database: restore the keystore that belongs to it",
    )
    if status.policy_error:
        yield Finding(False, "signer", f"its policy does not hold: {status.policy_error}")
    if status.frozen:
        yield Finding(False, "signer", f"frozen: {status.frozen_reason}; `sakk unfreeze` ends it")
    if status.same_uid and os.geteuid() == 0:
        yield Finding(
            False,
            "signer",
            "it runs as root like the rest: set SAKK_SIGNER_USER to a user of its own",
        )


def _networks(database: Database) -> Iterator[Finding]:
    with database.begin() as connection:
        found = [each for each in list_networks(connection) if each.enabled]
    if not found:
        yield Finding(False, "networks", "none yet: `sakk networks add`")
    for each in found:
        yield from _network(database, each)


def _network(database: Database, found: Network) -> Iterator[Finding]:
    rail = make_rail(found)
    with database.begin() as connection:
        cursor = find_cursor(connection, found.network)
        assets = list_assets(connection, network=found.network)
    try:
        head = rail.head()
    except SakkError as error:
        yield Finding(False, found.network, _words(error))
        return
    followed = None if cursor is None else cursor.block_number
    behind = None if followed is None else head.number - followed
    yield Finding(
        behind is not None and behind <= BLOCKS_BEHIND_MAX,
        found.network,
        f"node at block {head.number}, followed to {followed}",
    )
    for asset in assets:
        if asset.contract is not None:
            facts = token_facts(rail.rpc, asset.contract)
            yield Finding(
                facts.decimals == asset.decimals,
                asset.asset,
                f"{facts.symbol}, {facts.decimals} decimals on the chain, {asset.decimals} here",
            )


def examine_providers(database: Database) -> Iterator[Finding]:
    """Tokens of which two providers are to agree where there is one: what is large waits."""
    with database.begin() as connection:
        alone = {each.network for each in list_networks(connection) if len(each.rpc_urls) < 2}
        assets = list_assets(connection)
    for asset in assets:
        if asset.compare_above is not None and asset.network in alone:
            yield Finding(
                False,
                asset.asset,
                "two providers are to agree on large payments, which wait, for the network has one:"
                " give `sakk networks add` a second `--rpc`",
            )


def examine_clones(database: Database, rail_of: Callable[[Network], EvmRail]) -> Iterator[Finding]:
    """Which addresses each network gives out, whether its factories are ours, and what is stuck."""
    with database.begin() as connection:
        networks = {each.network: each for each in list_networks(connection) if each.enabled}
        factories = [each for each in list_factories(connection) if each.network in networks]
        stuck = stranded(connection)
    for name, found in networks.items():
        factory = found.deposit_factory
        given = "addresses of keys" if factory is None else f"clones of {factory}"
        yield Finding(True, f"{name} deposits", f"{found.deposit_method}: {given} are given out")
    parts = Parts(database, rail=rail_of)
    for each in factories:
        subject = f"{each.network} factory {each.address}"
        try:
            now_is = follow_factory(parts, each, networks[each.network])
        except SakkError as error:
            yield Finding(False, subject, _words(error))
            continue
        if now_is.recoverer is None:
            yield Finding(
                False,
                subject,
                "nobody can send back what its clones hold by mistake: `sakk sweeps recoverer`",
            )
            continue
        yield Finding(True, subject, f"pays {now_is.treasury}, recovered by {now_is.recoverer}")
    for name, factory, count in stuck:
        yield Finding(
            False,
            f"{name} clones",
            f"{count} deposits stand at clones of {factory}, which collects nothing there:"
            " create it with the calls of `sakk sweeps deployment`, then `sakk sweeps factory`",
        )


def _gas(database: Database) -> Iterator[Finding]:
    with database.begin() as connection:
        found = list_tanks(connection)
    for each in found:
        words = "too little for gas: send native coin to the treasury" if each.low else "for gas"
        yield Finding(not each.low, f"{each.network} gas", f"{each.wei} wei, {words}")


def _lists(database: Database) -> Iterator[Finding]:
    with database.begin() as connection:
        found = lists(connection)
    if not found:
        yield Finding(False, "lists", "no sanctions list is imported: `sakk lists import FILE`")
    for each in found:
        hours = each.age_seconds(now()) // 3600
        message = f"{each.row_count} labels, imported {hours} hours ago"
        yield Finding(not each.is_stale(now()), f"list {each.name}", message)
