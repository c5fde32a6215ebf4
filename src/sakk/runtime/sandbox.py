"""``sakk sandbox``: the whole system with test money on local chains, thrown away at its end."""

import secrets
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from sakk.console.route import ROOT
from sakk.core import evm
from sakk.core.account import AccountKind
from sakk.core.caip import erc20_asset, evm_network, native_asset
from sakk.core.case import Settings as CaseSettings
from sakk.core.invitation import InvitationKind
from sakk.core.network import Asset, Network, Quirk
from sakk.core.person import SANDBOX
from sakk.flow import account as accounts
from sakk.flow import api_key as api_keys
from sakk.flow import invitation as invitations
from sakk.flow import person as people
from sakk.rails.sandbox.chain import SandboxChain, SandboxToken, deploy, mine_until
from sakk.rails.sandbox.node import LocalNode, start_node
from sakk.rails.sandbox.wallet import Wallet
from sakk.runtime.postgres import start_postgres
from sakk.runtime.sandbox_hub import allow_hub, set_up_hub
from sakk.runtime.sandbox_paid import KEY_NAME
from sakk.runtime.sandbox_paid import PATH as PAID_PATH
from sakk.runtime.sandbox_paid import PRICE as PAID_PRICE
from sakk.runtime.sandbox_payer import PAYER_NAME
from sakk.runtime.sandbox_screening import describe_screening, set_up_screening
from sakk.runtime.serve import prepare_database, run_tree
from sakk.runtime.settings import Settings, load_settings
from sakk.signing.keystore import SCRYPT_N_MIN, Keystore, create_keystore
from sakk.signing.policy import sandbox_policy, with_coins, write_policy
from sakk.signing.protocol import Branch
from sakk.signing.server import signer_files
from sakk.store import case as cases
from sakk.store import network
from sakk.store.address import put_treasury, put_wallet
from sakk.store.database import open_database
from sakk.store.identity import new_id, now

FIRST_CHAIN = 84532
SECOND_CHAIN = 31337
NETWORKS_DEFAULT = 2
NETWORKS_MAX = 16
CONFIRMATIONS = 2
POLL_MILLISECONDS = 50
SWEEP_MINIMUM_WHOLE = 1
# The policy asks for an approval far below: what was approved is signed.
SIGNED_WHOLE_MAX = 1_000_000
TREASURY_NATIVE_WEI = 1_000 * 10**18
BLOCK_SECONDS_DEFAULT = 1.0


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """``port`` 0 takes a free one. ``block_time_seconds`` 0: blocks are mined by hand alone.

    ``treasuries``: from how many addresses payouts leave.
    """

    port: int = 0
    networks: int = NETWORKS_DEFAULT
    block_time_seconds: float = BLOCK_SECONDS_DEFAULT
    api_workers: int = 1
    webhook_allow_loopback: bool = True
    sweep: bool = True
    treasuries: int = 1


@dataclass(frozen=True, slots=True)
class Tenants:
    """The accounts and keys that a sandbox begins with."""

    account: str
    secret_key: str
    operator_key: str
    owner_link: str


def run_sandbox(options: SandboxOptions, *, on_ready: Callable[[dict[str, Any]], None]) -> int:
    """Start everything, call ``on_ready`` with the description, stay until SIGTERM."""
    folder = Path(tempfile.mkdtemp(prefix="sakk-sandbox-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        nodes = _start_nodes(options, stack)
        chains = [deploy(node.url, node.network) for node in nodes]
        postgres = stack.enter_context(start_postgres(folder / "postgres", ephemeral=True))
        prepare_database(postgres.url())
        passphrase_file = folder / "passphrase"
        keystore = _make_signer_files(folder, passphrase_file, chains, options)
        tenants = _fill_database(postgres.url(), options, chains, keystore)
        _keep_key(folder, tenants)
        (folder / PAYER_NAME).write_text(chains[0].payer_address)
        settings = load_settings(
            data_dir=folder,
            port=options.port or _free_port(),
            host="127.0.0.1",
            api_workers=options.api_workers,
            api_rate_limit_per_second=0,
            ledger_port=_free_port(),
            keystore_passphrase_file=passphrase_file,
            sandbox=True,
            webhook_allow_loopback=options.webhook_allow_loopback,
            database_url=postgres.url(),
            log_level="warning",
            # The description is the one line of output that begins with a brace.
            log_format="console",
        )
        description = describe(settings, postgres.url(), tenants, chains, options)
        return run_tree(
            settings,
            url=postgres.url(),
            postgres=postgres,
            on_ready=lambda: on_ready(description),
        )


def describe(
    settings: Settings,
    database_url: str,
    tenants: Tenants,
    chains: Sequence[SandboxChain],
    options: SandboxOptions,
) -> dict[str, Any]:
    """The one line that outside clients read."""
    api = f"http://{settings.host}:{settings.port}"
    return {
        "api": api,
        "secret_key": tenants.secret_key,
        "account": tenants.account,
        "operator_key": tenants.operator_key,
        # By its name: to browsers a number is no place for passkeys.
        "console": f"http://localhost:{settings.port}{ROOT}/enter/{tenants.owner_link}",
        "ledger": f"http://{settings.host}:{settings.ledger_port}",
        "networks": [
            {
                "network": chain.network,
                "rpc": chain.rpc_url,
                "confirmations": CONFIRMATIONS,
                "payer_private_key": chain.payer_private_key,
                "tokens": [_describe_token(token) for token in chain.tokens],
            }
            for chain in chains
        ],
        "x402": {
            "facilitator": f"{api}/x402",
            "paid_url": api + PAID_PATH,
            "price": PAID_PRICE,
        },
        "screening": describe_screening(),
        "webhook_allow_loopback": options.webhook_allow_loopback,
        "database_url": database_url,
        "data_dir": str(settings.data_dir),
    }


def _describe_token(token: SandboxToken) -> dict[str, Any]:
    described: dict[str, Any] = {
        "currency": token.currency,
        "contract": token.contract,
        "decimals": token.decimals,
    }
    if token.eip712 is not None:
        described["eip712"] = {"name": token.eip712.name, "version": token.eip712.version}
    return described


def _start_nodes(options: SandboxOptions, stack: ExitStack) -> list[LocalNode]:
    chains = [FIRST_CHAIN, *range(SECOND_CHAIN, SECOND_CHAIN + NETWORKS_MAX)]
    return [
        stack.enter_context(
            start_node(evm_network(chain), block_time_seconds=options.block_time_seconds or None)
        )
        for chain in chains[: options.networks]
    ]


def _make_signer_files(
    folder: Path, passphrase_file: Path, chains: Sequence[SandboxChain], options: SandboxOptions
) -> Keystore:
    """A keystore with a passphrase that nobody keeps, and the sandbox's generous policy."""
    files = signer_files(folder)
    files.directory.mkdir(mode=0o700)
    passphrase = secrets.token_urlsafe(24)
    passphrase_file.touch(mode=0o600)
    passphrase_file.write_text(passphrase)
    keystore = create_keystore(files.keystore, passphrase, now=now(), scrypt_n=SCRYPT_N_MIN)
    coins = {
        erc20_asset(chain.network, token.contract.lower()): (token.currency.upper(), token.decimals)
        for chain in chains
        for token in chain.tokens
    }
    coins.update({native_asset(chain.network): ("ETH", 18) for chain in chains})
    decimals = {asset: each[1] for asset, each in coins.items()}
    networks = [chain.network for chain in chains]
    policy = with_coins(sandbox_policy(networks, decimals, whole_max=SIGNED_WHOLE_MAX), coins)
    policy = msgspec.structs.replace(policy, treasury_indexes=tuple(range(options.treasuries)))
    write_policy(files.policy, allow_hub(policy, keystore))
    return keystore


def _fill_database(
    url: str, options: SandboxOptions, chains: Sequence[SandboxChain], keystore: Keystore
) -> Tenants:
    treasury = {
        index: keystore.address(Branch.treasury, index) for index in range(options.treasuries)
    }
    database = open_database(url)
    try:
        with database.begin() as connection:
            put_wallet(connection, keystore.xpub, now=now())
            put_treasury(connection, treasury, livemode=False, now=now())
            for chain in chains:
                _put_chain(connection, chain, options)
            tenants = _make_tenants(connection)
            # One key is all that there is here: who holds it proposes and confirms.
            cases.put_settings(connection, CaseSettings(False, True, None, "sandbox", now()))
        set_up_hub(database, chains, keystore)
        set_up_screening(database, chains)
    finally:
        database.close()
    for chain in chains:
        for each in treasury.values():
            _fund_treasury(chain, each)
    return tenants


def _put_chain(connection: Connection, chain: SandboxChain, options: SandboxOptions) -> None:
    payer = Wallet(chain.rpc_url, chain.payer_private_key)
    try:
        height = int(payer.rpc.call("eth_blockNumber"), 16)
    finally:
        payer.close()
    network.put_network(
        connection,
        Network(
            network=chain.network,
            name=f"Sandbox {chain.chain_id}",
            family="eip155",
            livemode=False,
            enabled=True,
            rpc_urls=[chain.rpc_url],
            confirmations=CONFIRMATIONS,
            block_seconds=max(1, round(options.block_time_seconds)),
            poll_milliseconds=POLL_MILLISECONDS,
            start_block=height + 1,
            native_asset=native_asset(chain.network),
            bloom="exact",
            created=now(),
            exposure=True,
        ),
    )
    for token in chain.tokens:
        network.put_asset(connection, _asset(chain, token, options))
    network.put_asset(connection, _native(chain))


def _asset(chain: SandboxChain, token: SandboxToken, options: SandboxOptions) -> Asset:
    contract = evm.parse_address(token.contract)
    quirks = (
        [Quirk.no_return_value, Quirk.fee_on_transfer, Quirk.pausable, Quirk.deny_listed]
        if token.currency == "usdt"
        else [Quirk.pausable, Quirk.deny_listed]
    )
    never = 10 ** (token.decimals + 18)
    return Asset(
        asset=erc20_asset(chain.network, contract),
        network=chain.network,
        contract=contract,
        currency=token.currency,
        symbol=token.currency.upper(),
        decimals=token.decimals,
        quirks=[quirk.value for quirk in quirks],
        payin_enabled=True,
        payout_enabled=True,
        sweep_minimum=SWEEP_MINIMUM_WHOLE * 10**token.decimals if options.sweep else never,
        eip712_name=token.eip712.name if token.eip712 else None,
        eip712_version=token.eip712.version if token.eip712 else None,
        created=now(),
    )


def _native(chain: SandboxChain) -> Asset:
    return Asset(
        asset=native_asset(chain.network),
        network=chain.network,
        contract=None,
        currency="eth",
        symbol="ETH",
        decimals=18,
        quirks=[],
        payin_enabled=False,
        payout_enabled=False,
        sweep_minimum=0,
        eip712_name=None,
        eip712_version=None,
        created=now(),
    )


def _make_tenants(connection: Connection) -> Tenants:
    operator, account = new_id("acct"), new_id("acct")
    for identifier, kind, name in (
        (operator, AccountKind.operator, "Sandbox operator"),
        (account, AccountKind.merchant, "Sandbox merchant"),
    ):
        accounts.create(
            connection,
            account_id=identifier,
            livemode=False,
            now=now(),
            kind=kind,
            details={"name": name},
        )
    keys = [
        api_keys.create(
            connection,
            key_id=new_id("key"),
            account_id=identifier,
            livemode=False,
            now=now(),
            name="sandbox",
        )[1]
        for identifier in (account, operator)
    ]
    owner = people.introduce_sandbox_owner(connection, now=now())
    link = invitations.make(
        connection,
        person=owner.id,
        livemode=False,
        kind=InvitationKind.enter,
        by=SANDBOX,
        now=now(),
    )
    return Tenants(account, keys[0], keys[1], link)


def _keep_key(folder: Path, tenants: Tenants) -> None:
    """The merchant's key, for what the merchant sells here."""
    path = folder / KEY_NAME
    path.touch(mode=0o600)
    path.write_text(tenants.secret_key)


def _fund_treasury(chain: SandboxChain, treasury: str) -> None:
    """The operator's gas, by a transfer that the watcher sees and the ledger books."""
    payer = Wallet(chain.rpc_url, chain.payer_private_key)
    try:
        mine_until(payer, payer.send_native(treasury, TREASURY_NATIVE_WEI))
    finally:
        payer.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
