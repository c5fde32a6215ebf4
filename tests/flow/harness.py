"""The whole system in one process: every part is real, and nothing runs by itself.

A ``World`` has a database of its own, a local chain that mines only when asked, the ledger's writer
and projection, screening, and the signer behind its unix socket. Stages are run by hand, one by one
or round after round until nothing moves, so a test decides what happens between any two of them.

    intent = world.intent(2500)
    world.pay(intent)                 # the payer's transaction waits for a block
    world.finalize()                  # mined, buried by confirmations, every stage run
    assert world.balance("usdc") == 25_000_000
    world.check()                     # reconciliation and ledger verification

``world`` never sweeps; ``make_world(sweep=True)`` collects deposits of one token and more.
Payouts go alone; with ``make_world(disperse_min=2)`` two and more go in one transaction.
"""

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from tests.chain import Chain
from tests.flow.policing import OPERATOR_KEY
from tests.flow.wiring import (
    CONFIRMATIONS,
    NEVER,
    WHOLE_TOKEN,
    Calls,
    WorldClock,
    asset_of,
    await_true,
    banks_at,
    opened_rails,
    put_configuration,
    run_until_rest,
    serving_signer,
    turn_comes,
    watchers,
)

from sakk.core import caip, chart, evm
from sakk.core.account import AccountKind
from sakk.core.balance import BalanceTransaction
from sakk.core.beneficiary import Wanted
from sakk.core.chart import LedgerAccount
from sakk.core.event import event_type
from sakk.core.network import Asset, Currency, CurrencyKind, Quirk
from sakk.core.outflow import Outflow
from sakk.core.payin import PayIn
from sakk.core.payment import PaymentIntent, Quote, quote_of
from sakk.core.payout import Payout, PayoutRequest
from sakk.core.reconcile import Proof
from sakk.core.sweep import Sweep
from sakk.core.transaction import ChainTransaction
from sakk.flow import account as accounts
from sakk.flow import customer as customers
from sakk.flow import payment, payout
from sakk.flow.book import Books
from sakk.flow.build import WAIT_TURN
from sakk.flow.case_alone import release_payin
from sakk.flow.context import Parts
from sakk.flow.payment import PaymentRequest
from sakk.flow.reconcile import reconcile
from sakk.flow.stage import Stage
from sakk.ledger.projection import Projector, wait_projected
from sakk.ledger.verify import Report, verify
from sakk.ledger.writer import open_ledger
from sakk.rails.sandbox.chain import SandboxToken
from sakk.runtime.worker import pipeline
from sakk.screening.engine import Engine
from sakk.screening.exposure import Exposures
from sakk.screening.importers import ImportReport, import_list
from sakk.signing.keystore import Keystore
from sakk.signing.protocol import Branch
from sakk.store import event as events
from sakk.store import network, payin
from sakk.store import payment as payments
from sakk.store.balance import list_lines
from sakk.store.database import Database, fetch_all
from sakk.store.event import Event
from sakk.store.identity import new_id
from sakk.store.outflow import outflows
from sakk.store.page import PageRequest
from sakk.store.payout import payouts
from sakk.store.sweep import sweeps
from sakk.store.transaction import transactions

__all__ = ["CONFIRMATIONS", "WHOLE_TOKEN", "World", "await_true", "open_world"]

TREASURY_WEI = 1_000 * 10**18
PAYIN_STAGES = ("payin.match", "payin.finality", "payin.screen", "payin.post")
LINES_MAX = 100


@dataclass
class World:
    """A running Sakk without its loops. ``account`` is the merchant that calls act for."""

    parts: Parts
    chains: Sequence[Chain]
    clock: WorldClock
    account: str
    operator: str
    treasury: str
    keystore: Keystore
    directory: Path
    calls: Calls
    stages: dict[str, Stage] = field(default_factory=dict)

    @property
    def chain(self) -> Chain:
        """The first chain."""
        return self.chains[0]

    @property
    def database(self) -> Database:
        return self.parts.database

    @property
    def books(self) -> Books:
        return self.parts.books

    @property
    def native(self) -> str:
        """The first chain's native coin (CAIP-19)."""
        return caip.native_asset(self.chain.network)

    # What merchants and operators do.

    def intent(
        self,
        amount: int = 2500,
        currency: str = "usd",
        *,
        networks: Sequence[str] | None = None,
        currencies: Sequence[str] | None = None,
        expires_in: timedelta | None = None,
        customer: str | None = None,
        account: str | None = None,
    ) -> PaymentIntent:
        """Create a payment intent; ``expires_in`` None is the default of one hour."""
        now = self.clock()
        with self.database.begin() as connection:
            return payment.create(
                connection,
                payment.read_catalogue(connection, now=now),
                PaymentRequest(
                    amount=amount,
                    currency=currency,
                    networks=networks,
                    currencies=currencies,
                    customer=customer,
                    expires_at=None if expires_in is None else now + expires_in,
                ),
                identifier=new_id("pi"),
                account_id=account or self.account,
                livemode=False,
                now=now,
            )

    def cancel(self, intent: PaymentIntent) -> PaymentIntent:
        """Cancel an intent as its merchant."""
        with self.database.begin() as connection:
            return payment.cancel(
                connection,
                intent.id,
                account_id=intent.account_id,
                livemode=False,
                reason=None,
                now=self.clock(),
            )

    def customer(self, account: str | None = None) -> dict[str, Any]:
        """Create a customer (the API's object); ``customer_address`` is where to pay."""
        with self.database.begin() as connection:
            return customers.create(
                connection,
                customer_id=new_id("cus"),
                account_id=account or self.account,
                livemode=False,
                now=self.clock(),
            )

    def customer_address(self, customer: dict[str, Any], *, chain: Chain | None = None) -> str:
        """A customer's permanent deposit address on a network, in lower-case hex."""
        places = customer["crypto_deposit_addresses"]
        return str(places[(chain or self.chain).network]["address"]).lower()

    def address(self, intent: PaymentIntent, *, chain: Chain | None = None) -> str:
        """Where an intent is to be paid on a network, in lower-case hex."""
        places = {each["network"]: each["address"] for each in intent.quotes}
        return str(places.get((chain or self.chain).network, intent.address))

    def merchant(self, name: str = "Another merchant", **policy: Any) -> str:
        """Open one more merchant account; returns its id."""
        return self._open_account(AccountKind.merchant, name, policy)

    def set_policy(self, account: str | None = None, **changes: Any) -> None:
        """Change an account's payment policy, e.g. ``set_policy(late="credit")``."""
        with self.database.begin() as connection:
            accounts.update(
                connection,
                account or self.account,
                {"policy": changes},
                livemode=False,
                by_operator=True,
                now=self.clock(),
            )

    def payout(
        self,
        amount: int,
        currency: str = "usdc",
        *,
        address: str,
        network: str | None = None,
        fee_mode: str = "sender",
        account: str | None = None,
        identifier: str | None = None,
    ) -> Payout:
        """Request a payout; the stages do the rest. Errors are those of the API."""
        steps = payout.create(
            self.parts,
            PayoutRequest(
                amount=amount,
                currency=currency,
                destination=Wanted(network=network or self.chain.network, address=address),
                fee_mode=fee_mode,
            ),
            identifier=identifier or new_id("po"),
            account_id=account or self.account,
            livemode=False,
        )
        return steps.run(self.database)

    def release(self, held: PayIn) -> PayIn:
        """Release a held pay-in as the operator of a sandbox, by its case where it has one."""
        return release_payin(self.parts, held.id, actor=OPERATOR_KEY, livemode=False)

    def import_list(self, *addresses: str, name: str = "sanctions", **options: Any) -> ImportReport:
        """Import a sanctions list of these addresses, as ``sakk lists import`` does."""
        path = self.directory / f"{name}.txt"
        path.write_text("".join(f"{address}\n" for address in addresses))
        options = {"format": "ofac", "category": "sanctions", **options}
        return import_list(self.database, path, name=name, now=self.clock(), **options)

    # What payers and the chain do.

    def pay(
        self,
        to: PaymentIntent | str,
        token: str = "usdc",
        units: int | None = None,
        *,
        chain: Chain | None = None,
    ) -> str:
        """Send tokens from the payer; the hash, before any block. ``units`` None: what is quoted.

        ``token``: ``usdc``, ``usdt`` or a contract's address.
        """
        chain = chain or self.chain
        contract = self.contract(token, chain)
        if units is None:
            assert isinstance(to, PaymentIntent), "say how many units"
            units = self.quote(to, contract, chain).token_amount
        address = to if isinstance(to, str) else self.address(to, chain=chain)
        return chain.payer.transfer(contract, evm.checksum_address(address), units)

    def pay_native(self, to: PaymentIntent | str, wei: int) -> str:
        """Send native coin from the payer; the hash, before any block."""
        address = to if isinstance(to, str) else self.address(to)
        return self.chain.payer.send_native(evm.checksum_address(address), wei)

    def mine(self, blocks: int = 1) -> int:
        """Mine on every chain; the first chain's new height."""
        heights = [chain.mine(blocks) for chain in self.chains]
        return heights[0]

    def advance(self, span: timedelta) -> None:
        """Let time pass for every part and for the blocks to come."""
        self.clock.advance(span)
        self.calls.call_all()
        for chain in self.chains:
            chain.rpc.call("evm_setNextBlockTimestamp", int(self.clock().timestamp()))

    # The stages.

    def run(self) -> int:
        """Follow the chains and run every stage, round after round until nothing moves."""
        return self._run(list(self.stages.values()))

    def run_only(self, *names: str) -> list[int]:
        """Run the named stages once each, in this order; how many rows each moved."""
        return [self.stages[name].run() for name in names]

    def run_except(self, *names: str) -> None:
        """Run all stages but these until nothing moves."""
        assert set(names) <= set(self.stages), names
        self._run([stage for name, stage in self.stages.items() if name not in names])
        self.calls.call_all()

    def watch(self) -> None:
        """Follow every chain to its head, and run nothing else."""
        for chain in self.chains:
            while self.stages[f"watch.{chain.network}"].run():
                pass

    def finalize(self, blocks: int = CONFIRMATIONS) -> None:
        """Mine what waits, bury it under ``blocks`` more, and run everything."""
        self.mine(1 + blocks)
        self.run()

    # What became of it.

    def refresh(self, intent: PaymentIntent) -> PaymentIntent:
        """The intent's row as it stands now."""
        with self.database.begin() as connection:
            found = payments.find(
                connection, intent.id, account_id=intent.account_id, livemode=False
            )
        assert found is not None
        return found

    def payins(
        self, intent: PaymentIntent | None = None, *, treasury: bool = False, **columns: Any
    ) -> list[PayIn]:
        """Pay-in rows, oldest first: of an intent, or all but the treasury's own funding.

        ``columns`` filters, e.g. ``payins(status="held")``.
        """
        table = payin.payins
        wanted = [table.c[name] == value for name, value in columns.items()]
        if intent is not None:
            wanted.append(table.c.payment_intent == intent.id)
        if not treasury:
            wanted.append(table.c.address != self.treasury)
        return self._rows(PayIn, select(table).where(*wanted).order_by(table.c.id))

    def payin(self, intent: PaymentIntent | None = None, **columns: Any) -> PayIn:
        """The only pay-in that fits."""
        [row] = self.payins(intent, **columns)
        return row

    def outflows(self) -> list[Outflow]:
        return self._rows(Outflow, select(outflows).order_by(outflows.c.id))

    def payouts(self) -> list[Payout]:
        return self._rows(Payout, select(payouts).order_by(payouts.c.id))

    def sweeps(self) -> list[Sweep]:
        return self._rows(Sweep, select(sweeps).order_by(sweeps.c.id))

    def transactions(self) -> list[ChainTransaction]:
        return self._rows(ChainTransaction, select(transactions).order_by(transactions.c.id))

    def balance(self, currency: str = "usdc", *, account: str | None = None) -> int:
        """A merchant's available balance, asked of the ledger."""
        unit = chart.currency_unit(currency, livemode=False)
        return self.ledger(chart.merchant(account or self.account, "available", unit))

    def receivable(self, currency: str = "usdc", *, account: str | None = None) -> int:
        """What a merchant owes after reversals that its balance could not bear."""
        unit = chart.currency_unit(currency, livemode=False)
        return -self.ledger(chart.receivable(account or self.account, unit))

    def suspense(self, token: str = "usdc") -> int:
        return self.ledger(chart.suspense(self.asset(token)))

    def quarantine(self, token: str = "usdc") -> int:
        return self.ledger(chart.quarantine(self.asset(token)))

    def dust(self, token: str = "usdc") -> int:
        return self.ledger(chart.dust(self.asset(token)))

    def custody(self, token: str = "usdc", place: chart.Custody = "deposit") -> int:
        """Atomic units that the ledger says we hold."""
        return -self.ledger(chart.custody(self.asset(token), place))

    def position(self, token: str = "usdc", *, account: str | None = None) -> dict[str, int]:
        """Everything the ledger says about a token and a merchant; what is zero is left out.

        ``balance`` and ``receivable`` in the currency's unit, the rest in atomic units.
        """
        asset = self.asset(token)
        with self.database.begin() as connection:
            listed = network.find_asset(connection, asset)
        found = {
            "custody": self.custody(asset),
            "suspense": self.suspense(asset),
            "quarantine": self.quarantine(asset),
            "dust": self.dust(asset),
        }
        if listed is not None:
            found["balance"] = self.balance(listed.currency, account=account)
            found["receivable"] = self.receivable(listed.currency, account=account)
        return {name: units for name, units in found.items() if units}

    def facts(self, intent: PaymentIntent) -> tuple[str, int, str | None, str | None]:
        """An intent's status, amount_received, amount_status and timing."""
        row = self.refresh(intent)
        return row.status, row.amount_received, row.amount_status, row.timing

    def ledger(self, account: LedgerAccount) -> int:
        """Credits less debits of one account of the chart."""
        return self.books.balances([account])[0]

    def statement(self, *, account: str | None = None) -> list[BalanceTransaction]:
        """A merchant's balance transactions, oldest first."""
        wait_projected(self.database.url)
        page, whose = PageRequest(limit=LINES_MAX), account or self.account
        with self.database.begin() as connection:
            lines, more = list_lines(connection, account_id=whose, livemode=False, page=page)
        assert not more
        return lines[::-1]

    def amounts(self, *, account: str | None = None) -> list[int]:
        """The signed amounts of a merchant's balance transactions, oldest first."""
        return [line.amount for line in self.statement(account=account)]

    def events(
        self, *, account: str | None = None, about: str | None = None, operator: bool = False
    ) -> list[Event]:
        """Events in order, as a merchant may list them; with ``operator``, all there are."""
        with self.database.begin() as connection:
            found: list[Event] = []
            while True:
                rows, more = events.page(
                    connection,
                    account_id=None if operator else account or self.account,
                    livemode=False,
                    limit=100,
                    object_id=about,
                    starting_after=found[-1].id if found else None,
                )
                found += rows
                if not more:
                    return found[::-1]

    def event_types(self, **which: Any) -> list[str]:
        """The types of ``events(...)``, without the account's own opening and changes."""
        return [each.type for each in self.events(**which) if not each.type.startswith("account.")]

    def reconcile(self, *, ok: bool = True) -> Proof:
        """Compare the ledger with the chains; asserts that it holds (or, ``ok=False``, not)."""
        proof = reconcile(self.database, self.parts.rail_of)
        assert proof.ok is ok, proof.to_document()
        return proof

    def ledger_verify(self) -> Report:
        """Replay the journal and check every invariant; asserts that all hold."""
        wait_projected(self.database.url)
        report = verify(self.database.url)
        assert report.ok, report.breaks
        return report

    def check(self) -> Proof:
        """What is true at the end of every test.

        The ledger, the rows and the chain agree, and no merchant can read what would tip off.
        """
        told = self.events(operator=True)
        for account in {each.account_id for each in told if each.account_id is not None}:
            for each in self.events(account=account):
                assert event_type(each.type).audience == "merchant", each
                assert each.object.get("status") != "held", each
                assert each.object.get("screening") is None, each
        self.ledger_verify()
        return self.reconcile()

    # Tokens and configuration.

    def contract(self, token: str, chain: Chain | None = None) -> str:
        """The address of ``usdc``, ``usdt`` or the contract that is named."""
        known = {each.currency: each.contract for each in (chain or self.chain).contracts.tokens}
        return known.get(token, token)

    def asset(self, token: str, chain: Chain | None = None) -> str:
        """The CAIP-19 name of a token by currency, contract, or itself."""
        if "/" in token:
            return token
        chain = chain or self.chain
        return caip.erc20_asset(chain.network, self.contract(token, chain).lower())

    def quote(self, intent: PaymentIntent, token: str, chain: Chain | None = None) -> Quote:
        """How an intent may be paid in a token."""
        wanted = self.asset(token, chain)
        return next(quote for quote in map(quote_of, intent.quotes) if quote.asset == wanted)

    def list_token(
        self,
        token: SandboxToken,
        *,
        currency: str | None = None,
        currency_decimals: int | None = None,
        quirks: Sequence[Quirk] = (),
        sweep_minimum: int = NEVER,
        chain: Chain | None = None,
        **changes: Any,
    ) -> Asset:
        """List a token as the operator; its currency is made if need be, worth one US dollar."""
        chain = chain or self.chain
        code = currency or token.currency
        moment = self.clock()
        asset = asset_of(chain, token, quirks=quirks, sweep_minimum=sweep_minimum, now=moment)
        asset = dataclasses.replace(asset, currency=code, **changes)
        decimals = token.decimals if currency_decimals is None else currency_decimals
        with self.database.begin() as connection:
            known = {each.currency for each in network.list_currencies(connection)}
            if code not in known:
                kind = CurrencyKind.coin.value
                made = Currency(code, code.upper(), kind, decimals, 1, 1, moment)
                network.put_currency(connection, made)
            network.put_asset(connection, asset)
        return asset

    def _run(self, stages: Sequence[Stage]) -> int:
        """Run stages until nothing moves, not even when it is the next one's turn to send."""
        with self.clock.held():
            total = moved = run_until_rest(stages, self.calls)
            while moved and turn_comes(self.database, self.clock()):
                self.clock.advance(WAIT_TURN)
                self.calls.call(name for name in self.stages if name.endswith(".build"))
                moved = run_until_rest(stages, self.calls)
                total += moved
        return total

    def _open_account(self, kind: AccountKind, name: str, policy: dict[str, Any]) -> str:
        with self.database.begin() as connection:
            return accounts.create(
                connection,
                account_id=new_id("acct"),
                livemode=False,
                now=self.clock(),
                kind=kind,
                details={"name": name},
                policy=policy,
            ).id

    def _rows(self, kind: type[Any], statement: Any) -> list[Any]:
        with self.database.begin() as connection:
            return fetch_all(connection, statement, kind)


@contextlib.contextmanager
def open_world(
    database: Database,
    chains: Sequence[Chain],
    keystore: Keystore,
    *,
    sweep: bool = False,
    disperse_min: int = 0,
    rpc_urls: Sequence[str] | None = None,
) -> Iterator[World]:
    """Wire a world, fund its treasury, and follow the chain to where it stands.

    ``rpc_urls`` leads the first network through something else than its node, such as a proxy.
    """
    clock = WorldClock()
    directory = Path(tempfile.mkdtemp(prefix="sakk-world-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        treasury = keystore.address(Branch.treasury, 0)
        how: dict[str, Any] = {"sweep": sweep, "disperse_min": disperse_min, "rpc_urls": rpc_urls}
        put_configuration(database, chains, keystore, clock, **how)
        signer = stack.enter_context(serving_signer(directory, chains, keystore, clock))
        projector = Projector(database.url, pace_seconds=0.0)
        stack.callback(projector.close)
        ledger = open_ledger(database.url, on_append=projector.wake)
        stack.callback(ledger.close)
        rails = stack.enter_context(opened_rails())
        parts = Parts(
            database=database,
            ledger_books=Books(database, ledger),
            screening=Engine(database),
            signer=signer,
            rail=rails,
            clock=clock,
            exposure=Exposures(database),
            banks=banks_at(directory, database, clock),
        )
        calls = stack.enter_context(contextlib.closing(Calls(database, clock)))
        world = World(parts, chains, clock, "", "", treasury, keystore, directory, calls)
        world.operator = world._open_account(AccountKind.operator, "Operator", {})
        world.account = world._open_account(AccountKind.merchant, "Merchant", {})
        for stage in [*watchers(parts), *pipeline(parts)]:
            world.stages[stage.name] = stage
        for chain in chains:
            chain.payer.send_native(evm.checksum_address(treasury), TREASURY_WEI)
        world.mine(1 + CONFIRMATIONS)
        world.watch()
        # A pay-in each that no list forbids: these alone have to do with it, and none has to look.
        assert world.run_only(*PAYIN_STAGES) == [len(chains)] * len(PAYIN_STAGES)
        calls.take_all()
        yield world
