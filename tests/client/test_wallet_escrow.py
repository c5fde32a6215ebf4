"""Batch settlement from the payer's side: the official client's bytes, and sums that hold."""

import asyncio
import contextlib
import itertools
from pathlib import Path
from typing import Any

import httpx2
import pytest
from eth_account import Account
from tests.client.node import NODES, Node
from tests.client.node import buying as buying_by
from tests.client.selling import NETWORK, PAYEE, PRICE, URL, Seller, offer
from x402.mechanisms.evm.batch_settlement.client.eip3009 import (
    create_batch_settlement_eip3009_deposit_payload,
)
from x402.mechanisms.evm.batch_settlement.types import ChannelConfig
from x402.mechanisms.evm.batch_settlement.utils import compute_channel_id
from x402.mechanisms.evm.signers import EthAccountSigner
from x402.schemas import PaymentRequirements

from sakk.client.exact import account_of
from sakk.client.permit2 import Approvals
from sakk.client.wallet import NoWayToPay, PaymentRefused, PaymentUnknown, Wallet
from sakk.client.wallet_escrow import Escrow
from sakk.client.wallet_log import Limits, State
from sakk.client.wallet_policy import Policy
from sakk.client.wallet_transport import RECEIPT, AsyncWalletTransport, WalletTransport
from sakk.client.x402 import PAYMENT_RESPONSE, Payment, Requirement, Settlement, encode_header

KEY = "0x" + "55" * 32
AUTHORIZER = "0x1563915e194D8CfBA1943570603F7606A3115508"
LACKING = "invalid_batch_settlement_evm_cumulative_exceeds_balance"
MISMATCH = "invalid_batch_settlement_evm_cumulative_amount_mismatch"


def escrow_offer(**changed: Any) -> Requirement:
    extra = {
        "name": "USDC",
        "version": "2",
        "receiverAuthorizer": AUTHORIZER,
        "withdrawDelay": 86_400,
        **changed.pop("extra", {}),
    }
    return offer(scheme="batch-settlement", extra=extra, **changed)


class EscrowSeller(Seller):
    """Charges each voucher once, as far as the highest one and the deposit go."""

    def __init__(self, *offers: Requirement, strict: bool = False) -> None:
        super().__init__(*(offers or (escrow_offer(),)))
        self.strict = strict
        self.deposited = 0
        self.charged = 0
        self.signed = 0
        self.signature = ""
        self.seen: set[int] = set()
        self.cost = PRICE
        # What it says that was charged, where it lies.
        self.said: int | None = None

    def take(self, payment: Payment) -> bool:
        payload = payment.payload
        if "voucher" not in payload:
            return super().take(payment)
        cumulative = int(payload["voucher"]["maxClaimableAmount"])
        if self.strict and cumulative != self.charged + PRICE:
            return False
        if payload["type"] == "deposit":
            self.deposited += int(payload["deposit"]["amount"])
        if cumulative in self.seen or cumulative > self.deposited:
            return False
        self.seen.add(cumulative)
        if cumulative > self.signed:
            self.signed, self.signature = cumulative, payload["voucher"]["signature"]
        assert self.charged + self.cost <= self.signed
        self.charged += self.cost
        return True

    def serve(self, payment: Payment) -> httpx2.Response:
        if "voucher" not in payment.payload:
            return super().serve(payment)
        self.served += 1
        settlement = Settlement(
            success=True,
            network=NETWORK,
            payer=payment.payload["channelConfig"]["payer"],
            extra={
                "chargedAmount": str(self.cost),
                "channelState": {
                    "balance": str(self.deposited),
                    "chargedCumulativeAmount": str(self.said or self.charged),
                },
            },
        )
        return httpx2.Response(200, headers={PAYMENT_RESPONSE: encode_header(settlement)})

    def demand(self, error: str = "payment required") -> httpx2.Response:
        if error != "payment required":
            error = LACKING if self.deposited == self.charged else MISMATCH
            extra = {
                "channelState": {
                    "chargedCumulativeAmount": str(self.charged),
                    "balance": str(self.deposited),
                },
                "voucherState": {
                    "signedMaxClaimable": str(self.signed),
                    "signature": self.signature,
                },
            }
            kept, self.offers = self.offers, [escrow_offer(extra=extra)]
            try:
                return super().demand(error)
            finally:
                self.offers = kept
        return super().demand(error)


def buying(wallet: Wallet, seller: Seller) -> httpx2.Client:
    paying: Any = WalletTransport(wallet, seller.transport())
    return httpx2.Client(transport=paying)


def test_channel_voucher_and_deposit_are_the_official_clients() -> None:
    account = account_of(KEY)
    ours = Escrow(account, Policy(), Approvals(str(account.address), Policy()))
    payload = ours.sign(escrow_offer(), deposit=50_000, now=1_800_000_000)
    config = ChannelConfig.from_dict(payload["channelConfig"])
    assert payload["voucher"]["channelId"] == compute_channel_id(config, NETWORK)
    theirs = create_batch_settlement_eip3009_deposit_payload(
        EthAccountSigner(account),
        PaymentRequirements(
            scheme="batch-settlement",
            network=NETWORK,
            asset=escrow_offer().asset,
            amount=str(PRICE),
            pay_to=PAYEE,
            max_timeout_seconds=60,
            extra=escrow_offer().extra,
        ),
        config,
        50_000,
        PRICE,
    ).to_dict()
    assert payload["voucher"] == theirs["voucher"]
    assert payload["channelConfig"] == theirs["channelConfig"]
    authorization = payload["deposit"]["authorization"]["erc3009Authorization"]
    official = theirs["deposit"]["authorization"]["erc3009Authorization"]
    assert set(authorization) == set(official)
    assert Account.from_key(KEY).address == payload["channelConfig"]["payer"]


def test_one_deposit_serves_many_calls_and_counts_once() -> None:
    wallet, seller = Wallet(KEY), EscrowSeller()
    with buying(wallet, seller) as http:
        for _ in range(5):
            assert http.get(URL).status_code == 200
    assert (seller.deposited, seller.charged, seller.served) == (50_000, 5 * PRICE, 5)
    assert wallet.log.spent() == 50_000
    counting = [one for one in wallet.log.receipts() if one.counts]
    assert [one.value for one in counting] == [50_000]


def test_a_call_is_not_thought_slow_because_its_deposit_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One block is waited for, once; the calls after it are the way that is fast and costs less."""
    wallet = Wallet(KEY, Policy(waiting_micro_usd=1_000))
    seller = EscrowSeller(offer(), escrow_offer())
    clock = itertools.count(step=60.0)
    monkeypatch.setattr("sakk.client.wallet_payment.time.monotonic", lambda: next(clock))
    with buying(wallet, seller) as http:
        schemes = [http.get(URL).extensions[RECEIPT].scheme for _ in range(2)]
    assert schemes == ["batch-settlement"] * 2
    assert seller.deposited == 50 * PRICE


@pytest.mark.parametrize(
    ("total", "least", "schemes", "deposited"),
    [
        # Too little is left for what the seller wants to be put up: each call by itself.
        (5, "10000", ["exact"] * 2, 0),
        # It wants nothing: as much as the calls cost, where a step is more than there is.
        (5, "", ["batch-settlement"] * 2, 2 * PRICE),
        (50, "", ["batch-settlement"] * 2, 50 * PRICE),
    ],
)
def test_the_way_is_chosen_by_what_is_left_too(
    total: int, least: str, schemes: list[str], deposited: int
) -> None:
    wallet = Wallet(KEY, Policy(limits=Limits(total=total * PRICE)))
    seller = EscrowSeller(offer(), escrow_offer(extra={"minDeposit": least}))
    with buying(wallet, seller) as http:
        receipts = [http.get(URL).extensions[RECEIPT] for _ in range(2)]
    assert [receipt.scheme for receipt in receipts] == schemes
    assert seller.deposited == deposited
    assert receipts[0].route[0]["left"] == total * PRICE
    if schemes[0] == "exact":
        assert receipts[0].route[1]["refused"].endswith("more than total leaves (5000)")


def test_a_deposit_used_up_is_followed_by_another() -> None:
    wallet, seller = Wallet(KEY, Policy(step=2 * PRICE)), EscrowSeller()
    with buying(wallet, seller) as http:
        for _ in range(5):
            http.get(URL)
    assert (seller.deposited, seller.charged) == (6 * PRICE, 5 * PRICE)


def test_the_budget_holds_for_deposits() -> None:
    policy = Policy(limits=Limits(total=PRICE + 1))
    wallet, seller = Wallet(KEY, policy), EscrowSeller()
    with buying(wallet, seller) as http:
        http.get(URL)
        with pytest.raises(NoWayToPay, match=r"more than total leaves \(1\)"):
            http.get(URL)
    assert (seller.deposited, wallet.log.spent()) == (PRICE, PRICE)


@pytest.mark.parametrize("arrives", [True, False], ids=["arrived", "lost"])
def test_after_a_deposit_that_was_not_answered_the_seller_is_asked(arrives: bool) -> None:
    """One voucher asks; only where the first deposit is not there another one is signed."""
    seller = EscrowSeller()

    def misbehave(
        seller: Seller, request: httpx2.Request, payment: Payment
    ) -> httpx2.Response | None:
        assert isinstance(seller, EscrowSeller)
        if payment.payload["type"] == "deposit" and not is_answering:
            if arrives and not seller.deposited:
                seller.take(payment)
            raise httpx2.ReadError("gone", request=request)
        if not seller.deposited and payment.payload["type"] == "voucher":
            vouchers.append(int(payment.payload["voucher"]["maxClaimableAmount"]))
            return Seller.demand(seller, "invalid_batch_settlement_evm_channel_not_found")
        return None

    is_answering = False
    vouchers: list[int] = []
    seller.misbehave = misbehave
    wallet = Wallet(KEY)
    with buying(wallet, seller) as http:
        with pytest.raises(Exception, match="no answer to a paid request"):
            http.get(URL)
        is_answering = True
        answers = [http.get(URL) for _ in range(3)]
    assert [each.status_code for each in answers] == [200] * 3
    assert seller.deposited == 50_000
    assert seller.charged == (4 if arrives else 3) * PRICE
    # The first asks before there is any deposit.
    assert vouchers == ([PRICE] if arrives else [PRICE, 2 * PRICE])
    assert wallet.log.spent() == (50_000 if arrives else 100_000)


@pytest.mark.parametrize("arrives", [True, False], ids=["arrived", "lost"])
def test_with_a_node_the_chain_says_whether_a_deposit_is_there(arrives: bool) -> None:
    """No second deposit is signed while the first may arrive, whatever the seller says of it."""
    node, seller = Node(), EscrowSeller()

    def misbehave(_: Seller, request: httpx2.Request, payment: Payment) -> httpx2.Response | None:
        if not is_answering:
            if arrives:
                seller.take(payment)
            raise httpx2.ReadError("gone", request=request)
        if not seller.deposited and payment.payload["type"] == "voucher":
            return Seller.demand(seller, "invalid_batch_settlement_evm_channel_not_found")
        return None

    is_answering = False
    seller.misbehave = misbehave
    wallet = Wallet(KEY, Policy(nodes=NODES))
    with buying_by(wallet, seller, node) as http:
        with pytest.raises(PaymentUnknown, match="no answer to a paid request"):
            http.get(URL)
        # A wallet of the same key that starts with the log alone is held back by it.
        again = Wallet(KEY, Policy(nodes=NODES), log=wallet.log)
        with buying_by(again, seller, node) as other:
            for is_away in (False, True):
                node.is_away = is_away
                with pytest.raises(PaymentUnknown, match="ask again"):
                    other.get(URL)
        node.is_away, is_answering = False, True
        if not arrives:
            with pytest.raises(PaymentRefused, match="channel_not_found"):
                http.get(URL)
            assert wallet.log.spent() == 50_000
        node.words |= {"channel": seller.deposited, "state": int(arrives)}
        node.time = 1 << 40
        assert [http.get(URL).status_code for _ in range(2)] == [200] * 2
    assert seller.deposited == 50_000
    assert wallet.log.spent() == 50_000


def test_a_payment_that_the_chain_does_not_know_is_made_anew_once_it_can_not_come() -> None:
    """Under the same Idempotency-Key: the same bytes until the chain's clock has ended them."""

    def silent(_: Seller, request: httpx2.Request, payment: Payment) -> httpx2.Response | None:
        # What is signed from now on has not expired.
        node.time = 0
        if is_answering:
            return None
        raise httpx2.ReadError("gone", request=request)

    node, seller = Node(), Seller(misbehave=silent)
    wallet = Wallet(KEY, Policy(nodes=NODES))
    is_answering, key = False, {"idempotency-key": "one"}
    with buying_by(wallet, seller, node) as http:
        for _ in range(2):
            with pytest.raises(PaymentUnknown):
                http.get(URL, headers=key)
        assert len({*seller.headers_seen}) == 1
        node.time = 1 << 40
        with pytest.raises(PaymentUnknown):
            http.get(URL, headers=key)
        assert len({*seller.headers_seen}) == 2
        # What the chain has seen is paid, whatever the seller does not say.
        node.words["state"] = 1
        with pytest.raises(PaymentUnknown) as caught:
            http.get(URL, headers=key)
        assert caught.value.receipt is not None
        assert caught.value.receipt.state is State.paid
        is_answering = True
        assert http.get(URL, headers=key).status_code == 200
    assert len({*seller.headers_seen}) == 2
    assert (seller.revenue, wallet.log.spent()) == (PRICE, PRICE)


def test_what_a_channel_holds_already_is_not_deposited_again() -> None:
    seller, node = EscrowSeller(strict=True), Node()
    with buying(Wallet(KEY), seller) as http:
        http.get(URL)
    node.words["channel"] = seller.deposited
    with buying_by(Wallet(KEY, Policy(nodes=NODES)), seller, node) as http:
        assert http.get(URL).status_code == 200
    assert (seller.deposited, seller.charged) == (50_000, 2 * PRICE)
    # Of one that does not answer nothing is heard: the seller is asked.
    node.is_away, wallet = True, Wallet(KEY, Policy(nodes=NODES))
    with buying_by(wallet, seller, node) as http:
        assert http.get(URL).status_code == 200
    assert (seller.deposited, seller.charged, wallet.log.spent()) == (50_000, 3 * PRICE, 0)
    # It holds nothing up where no deposit is open.
    with buying_by(Wallet("0x" + "57" * 32, Policy(nodes=NODES)), EscrowSeller(), node) as http:
        assert http.get(URL).status_code == 200


def test_eight_calls_in_parallel_share_a_deposit_and_all_succeed() -> None:
    wallet, seller = Wallet(KEY), EscrowSeller()

    async def all_at_once() -> list[httpx2.Response]:
        paying: Any = AsyncWalletTransport(wallet, seller.transport())
        async with httpx2.AsyncClient(transport=paying) as http:
            return await asyncio.gather(*(http.get(URL) for _ in range(8)))

    answers = asyncio.run(all_at_once())
    assert [answer.status_code for answer in answers] == [200] * 8
    assert (seller.deposited, seller.charged, seller.signed) == (50_000, 8 * PRICE, 8 * PRICE)


def test_a_call_that_costs_less_leaves_more_for_the_next() -> None:
    wallet, seller = Wallet(KEY), EscrowSeller()
    seller.cost = PRICE // 4
    with buying(wallet, seller) as http:
        for _ in range(4):
            http.get(URL)
    assert seller.charged == PRICE
    assert seller.signed == seller.charged - seller.cost + PRICE


def test_a_wallet_that_lost_its_state_is_corrected_by_its_own_signature() -> None:
    seller = EscrowSeller(strict=True)
    with buying(Wallet(KEY), seller) as http:
        for _ in range(3):
            http.get(URL)
    # Also under a key, by which a payment is made once; and its budget is not less by a deposit.
    wallet, deposited = Wallet(KEY), seller.deposited
    with buying(wallet, seller) as http:
        answer = http.get(URL, headers={"Idempotency-Key": "one"})
    assert answer.status_code == 200
    assert (seller.charged, seller.deposited) == (4 * PRICE, deposited)
    assert answer.extensions[RECEIPT].amount == PRICE
    assert wallet.log.spent() == 0


def test_the_next_process_goes_on_with_the_channel_of_the_last(tmp_path: Path) -> None:
    """By the log that they share: no deposit is signed again, and the budget loses nothing."""
    log, seller = tmp_path / "payments.db", EscrowSeller(strict=True)
    for _ in range(3):
        with contextlib.closing(Wallet(KEY, log=log)) as wallet, buying(wallet, seller) as http:
            assert [http.get(URL).status_code for _ in range(2)] == [200, 200]
            deposited = seller.deposited
            assert wallet.log.spent() == deposited
    assert (deposited, seller.charged) == (50_000, 6 * PRICE)
    # Its payer has had the rest back since then: that is asked before another is signed.
    seller.deposited = seller.charged
    with contextlib.closing(Wallet(KEY, log=log)) as wallet, buying(wallet, seller) as http:
        assert http.get(URL).status_code == 200
        assert wallet.log.spent() == 2 * deposited
    assert (seller.deposited, seller.charged) == (deposited + 6 * PRICE, 7 * PRICE)


def test_of_what_a_seller_said_no_more_is_believed_than_was_signed(tmp_path: Path) -> None:
    log, seller = tmp_path / "payments.db", EscrowSeller()
    with contextlib.closing(Wallet(KEY, log=log)) as wallet, buying(wallet, seller) as http:
        seller.said = 40_000
        http.get(URL)
    with contextlib.closing(Wallet(KEY, log=log)) as wallet, buying(wallet, seller) as http:
        http.get(URL)
    assert seller.signed == 2 * PRICE


def test_a_seller_that_claims_what_was_never_signed_is_not_believed() -> None:
    seller = EscrowSeller(strict=True)
    with buying(Wallet(KEY), seller) as http:
        http.get(URL)
    seller.charged = 30_000
    wallet = Wallet(KEY)
    with buying(wallet, seller) as http, pytest.raises(PaymentRefused, match="mismatch"):
        http.get(URL)
    assert seller.served == 1


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"receiverAuthorizer": "0x0"}, "receiverAuthorizer is no address"),
        ({"withdrawDelay": 86_400 * 30}, "withdrawal delay"),
        ({"withdrawDelay": "900"}, "withdrawal delay"),
        ({"assetTransferMethod": "barter"}, "transfer method"),
        ({"assetTransferMethod": "permit2"}, "name a node"),
        ({"name": None}, "EIP-712 domain"),
    ],
)
def test_a_channel_that_could_lock_coins_is_not_opened(extra: Any, reason: str) -> None:
    account = account_of(KEY)
    scheme = Escrow(account, Policy(), Approvals(str(account.address), Policy()))
    assert reason in str(scheme.refuses(escrow_offer(extra=extra)))
    assert "no EVM chain" in str(scheme.refuses(escrow_offer(network="solana:abc")))
    assert scheme.refuses(escrow_offer()) is None
