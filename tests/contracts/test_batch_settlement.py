"""The escrow on a real chain: what it takes, what it refuses, and who is let near the money."""

import secrets
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_typing import Hash32
from tests.chain import Chain

from sakk.core import escrow
from sakk.core.disperse import TRANSACTION_GAS_MAX
from sakk.core.escrow import (
    COLLECTOR,
    ESCROW,
    SETTLED_TOPIC,
    Authorization,
    ChannelConfig,
    Claim,
    channel_id,
    deposit_nonce,
    encode_claim,
    encode_claim_signed,
    encode_deposit,
    encode_multicall,
    encode_refund,
    encode_refund_signed,
    encode_settle,
    voucher_digest,
)
from sakk.core.evm import ZERO_ADDRESS
from sakk.rails.sandbox.chain import (
    SandboxToken,
    TokenKind,
    deploy_contract,
    mine_until,
    mint,
)
from sakk.rails.sandbox.rpc import LocalRpcRefused
from sakk.rails.sandbox.wallet import Receipt, TransactionReverted, Wallet, encode_call

CHAIN_ID = 84_532
UNITS = 1_000_000
DELAY = 900
# HostileToken.Mode.callsBack
CALLS_BACK = 8
CONFIG_ABI = "(address,address,address,address,address,uint40,bytes32)"


def key() -> str:
    return "0x" + secrets.token_hex(32)


class Escrow:
    """One payer and one receiver on the chain, and what they sign."""

    def __init__(self, chain: Chain, token: SandboxToken | None = None) -> None:
        self.chain = chain
        self.token = chain.contracts.usdc if token is None else token
        self.payer, self.authorizer = Account.from_key(key()), Account.from_key(key())
        self.receiver = Account.create().address.lower()
        mint(chain.contracts, self.token, self.payer.address, 100 * UNITS)
        for each in (self.payer, self.authorizer):
            chain.rpc.call("anvil_setBalance", each.address, hex(10**20))
        self.config = ChannelConfig(
            payer=self.payer.address.lower(),
            payer_authorizer=self.payer.address.lower(),
            receiver=self.receiver,
            receiver_authorizer=self.authorizer.address.lower(),
            token=self.token.contract.lower(),
            withdraw_delay=DELAY,
            salt=secrets.token_bytes(32),
        )

    @property
    def id(self) -> bytes:
        return channel_id(self.config, CHAIN_ID)

    def wallet(self, account: LocalAccount | None = None) -> Wallet:
        return self.chain.payer if account is None else self.chain.wallet(account.key.hex())

    def send(self, data: bytes, account: LocalAccount | None = None) -> Receipt:
        """Send calldata to the escrow and mine it; TransactionReverted when it failed."""
        wallet = self.wallet(account)
        return mine_until(wallet, wallet.send_data(ESCROW, data, gas_limit=2_000_000))

    def authorization(self, units: int, config: ChannelConfig | None = None) -> Authorization:
        channel, salt = channel_id(config or self.config, CHAIN_ID), secrets.randbits(256)
        until = int(time.time()) + 10**6
        signed = Account.sign_message(
            encode_typed_data(
                {
                    "name": "USDC",
                    "version": "2",
                    "chainId": CHAIN_ID,
                    "verifyingContract": self.token.contract,
                },
                {
                    "ReceiveWithAuthorization": [
                        {"name": "from", "type": "address"},
                        {"name": "to", "type": "address"},
                        {"name": "value", "type": "uint256"},
                        {"name": "validAfter", "type": "uint256"},
                        {"name": "validBefore", "type": "uint256"},
                        {"name": "nonce", "type": "bytes32"},
                    ]
                },
                {
                    "from": self.payer.address,
                    "to": COLLECTOR,
                    "value": units,
                    "validAfter": 0,
                    "validBefore": until,
                    "nonce": deposit_nonce(channel, salt),
                },
            ),
            self.payer.key,
        )
        return Authorization(0, until, salt, bytes(signed.signature))

    def deposit(self, units: int = 10 * UNITS) -> bytes:
        data = encode_deposit(self.config, units, self.authorization(units))
        self.send(data)
        return data

    def claim(
        self, total: int, *, ceiling: int | None = None, by: LocalAccount | None = None
    ) -> Claim:
        most = total if ceiling is None else ceiling
        digest = voucher_digest(self.id, most, CHAIN_ID)
        signer = self.payer if by is None else by
        signed = signer.unsafe_sign_hash(Hash32(digest))
        return Claim(self.config, most, bytes(signed.signature), total)

    def state(self) -> tuple[int, int]:
        return self.chain.payer.read(
            ESCROW, "channels(bytes32)", self.id, returns=["uint128", "uint128"]
        )

    def held(self, holder: str) -> int:
        return self.chain.payer.balance_of(self.token.contract, holder)


@pytest.fixture
def open_escrow(chain: Chain) -> Callable[[], Escrow]:
    def make() -> Escrow:
        found = Escrow(chain)
        found.deposit()
        return found

    return make


def test_names_and_digests_are_those_of_the_rules(chain: Chain) -> None:
    found = Escrow(chain)
    config = found.config
    words = (
        config.payer,
        config.payer_authorizer,
        config.receiver,
        config.receiver_authorizer,
        config.token,
        config.withdraw_delay,
        config.salt,
    )
    read = chain.payer.read
    assert read(ESCROW, f"getChannelId({CONFIG_ABI})", words, returns=["bytes32"]) == (found.id,)
    digest = voucher_digest(found.id, 5, CHAIN_ID)
    signature = "getVoucherDigest(bytes32,uint128)"
    assert read(ESCROW, signature, found.id, 5, returns=["bytes32"]) == (digest,)


def test_a_channel_s_whole_life(open_escrow: Callable[[], Escrow]) -> None:
    found = open_escrow()
    assert found.state() == (10 * UNITS, 0)
    found.send(encode_claim([found.claim(3 * UNITS, ceiling=4 * UNITS)]), found.authorizer)
    assert found.state() == (10 * UNITS, 3 * UNITS)
    receipt = found.send(encode_settle(found.receiver, found.config.token))
    assert SETTLED_TOPIC in [each["topics"][0] for each in receipt["logs"]]
    assert found.held(found.receiver) == 3 * UNITS
    # Nothing more is due: no error, and no transfer.
    found.send(encode_settle(found.receiver, found.config.token))
    assert found.held(found.receiver) == 3 * UNITS
    found.send(encode_refund(found.config, 100 * UNITS), found.authorizer)
    assert found.state() == (3 * UNITS, 3 * UNITS)
    assert found.held(found.config.payer) == 97 * UNITS


def test_many_channels_are_claimed_and_paid_in_one_transaction(
    open_escrow: Callable[[], Escrow],
) -> None:
    one, other = open_escrow(), open_escrow()
    other.config = replace(
        other.config, receiver=one.receiver, receiver_authorizer=one.config.receiver_authorizer
    )
    other.deposit()
    one.send(
        encode_multicall(
            [
                encode_claim([one.claim(UNITS), other.claim(2 * UNITS)]),
                encode_settle(one.receiver, one.config.token),
            ]
        ),
        one.authorizer,
    )
    assert one.held(one.receiver) == 3 * UNITS


def test_a_replay_does_nothing(open_escrow: Callable[[], Escrow]) -> None:
    found = open_escrow()
    deposit = found.deposit()
    with pytest.raises(TransactionReverted):
        found.send(deposit)
    assert found.state() == (20 * UNITS, 0)
    claim = encode_claim([found.claim(UNITS)])
    found.send(claim, found.authorizer)
    found.send(encode_claim([found.claim(2 * UNITS)]), found.authorizer)
    found.send(claim, found.authorizer)
    assert found.state() == (20 * UNITS, 2 * UNITS)


def test_a_deposit_of_one_channel_opens_no_other(chain: Chain) -> None:
    found = Escrow(chain)
    other = replace(found.config, receiver="0x" + "66" * 20)
    with pytest.raises(TransactionReverted):
        found.send(encode_deposit(other, UNITS, found.authorization(UNITS)))
    with pytest.raises(TransactionReverted):  # and for another amount it is not signed
        found.send(encode_deposit(found.config, 2 * UNITS, found.authorization(UNITS)))
    assert found.state() == (0, 0)


def test_nobody_but_the_escrow_has_the_collector_collect(chain: Chain) -> None:
    found = Escrow(chain)
    call = encode_call(
        f"collect({CONFIG_ABI},bytes32,uint256,bytes)",
        ("0x" + "11" * 20,) * 5 + (DELAY, bytes(32)),
        bytes(32),
        1,
        b"",
    )
    with pytest.raises(LocalRpcRefused):
        chain.rpc.call("eth_call", {"to": COLLECTOR, "data": "0x" + call.hex()}, "latest")
    assert found.held(COLLECTOR) == 0


@pytest.mark.parametrize("delay", [DELAY - 1, 2_592_001])
def test_a_way_out_that_is_too_short_or_too_long_opens_nothing(chain: Chain, delay: int) -> None:
    found = Escrow(chain)
    found.config = replace(found.config, withdraw_delay=delay)
    with pytest.raises(TransactionReverted):
        found.deposit()


def test_claims_that_are_refused(open_escrow: Callable[[], Escrow]) -> None:
    found = open_escrow()
    stranger = Account.from_key(key())
    found.chain.rpc.call("anvil_setBalance", stranger.address, hex(10**20))
    good = found.claim(UNITS)
    refused = [
        (encode_claim([good]), stranger),
        (encode_claim([found.claim(UNITS, by=stranger)]), found.authorizer),
        (encode_claim([replace(good, max_claimable=2 * UNITS)]), found.authorizer),
        (encode_claim([replace(good, total_claimed=2 * UNITS)]), found.authorizer),
        (encode_claim([found.claim(11 * UNITS)]), found.authorizer),
        (encode_claim_signed([good], bytes(65)), stranger),
        (encode_claim_signed([], bytes(65)), stranger),
    ]
    for data, sender in refused:
        with pytest.raises(TransactionReverted):
            found.send(data, sender)
    # One bad claim stops the whole call: those who send it try it out first.
    with pytest.raises(TransactionReverted):
        found.send(encode_claim([good, found.claim(UNITS, by=stranger)]), found.authorizer)
    assert found.state() == (10 * UNITS, 0)


def test_anybody_carries_what_the_authorizer_signed(open_escrow: Callable[[], Escrow]) -> None:
    found = open_escrow()
    claims = [found.claim(UNITS)]
    [digest] = found.chain.payer.read(
        ESCROW,
        f"getClaimBatchDigest((({CONFIG_ABI},uint128),bytes,uint128)[])",
        [
            (
                (
                    (
                        found.config.payer,
                        found.config.payer_authorizer,
                        found.config.receiver,
                        found.config.receiver_authorizer,
                        found.config.token,
                        found.config.withdraw_delay,
                        found.config.salt,
                    ),
                    UNITS,
                ),
                claims[0].signature,
                UNITS,
            )
        ],
        returns=["bytes32"],
    )
    signature = bytes(found.authorizer.unsafe_sign_hash(digest).signature)
    found.send(encode_claim_signed(claims, signature))
    assert found.state() == (10 * UNITS, UNITS)
    [refund] = found.chain.payer.read(
        ESCROW,
        "getRefundDigest(bytes32,uint256,uint128)",
        found.id,
        0,
        UNITS,
        returns=["bytes32"],
    )
    consent = bytes(found.authorizer.unsafe_sign_hash(refund).signature)
    found.send(encode_refund_signed(found.config, UNITS, 0, consent))
    assert found.state() == (9 * UNITS, UNITS)
    with pytest.raises(TransactionReverted):  # a nonce is used once
        found.send(encode_refund_signed(found.config, UNITS, 0, consent))


def test_the_payers_own_way_out_takes_its_time(open_escrow: Callable[[], Escrow]) -> None:
    found = open_escrow()
    words = (
        found.config.payer,
        found.config.payer_authorizer,
        found.config.receiver,
        found.config.receiver_authorizer,
        found.config.token,
        found.config.withdraw_delay,
        found.config.salt,
    )
    begin = encode_call(f"initiateWithdraw({CONFIG_ABI},uint128)", words, 10 * UNITS)
    finish = encode_call(f"finalizeWithdraw({CONFIG_ABI})", words)
    for data, sender in ((begin, found.authorizer), (finish, found.payer)):
        with pytest.raises(TransactionReverted):
            found.send(data, sender)
    found.send(begin, found.payer)
    with pytest.raises(TransactionReverted):
        found.send(finish, found.payer)
    # The receiver may still claim, and then only the rest goes.
    found.send(encode_claim([found.claim(4 * UNITS)]), found.authorizer)
    found.chain.rpc.call("evm_increaseTime", DELAY)
    found.send(finish, found.payer)
    assert found.state() == (4 * UNITS, 4 * UNITS)
    assert found.held(found.config.payer) == 96 * UNITS
    with pytest.raises(TransactionReverted):
        found.send(finish, found.payer)


def test_a_deny_listed_receiver_is_not_paid_and_loses_nothing(
    open_escrow: Callable[[], Escrow],
) -> None:
    found = open_escrow()
    issuer = found.chain.issuer
    listed = ("blacklist(address)", found.receiver)
    mine_until(issuer, issuer.call_contract(found.token.contract, *listed))
    found.send(encode_claim([found.claim(UNITS)]), found.authorizer)
    with pytest.raises(TransactionReverted):
        found.send(encode_settle(found.receiver, found.config.token))
    freed = ("unBlacklist(address)", found.receiver)
    mine_until(issuer, issuer.call_contract(found.token.contract, *freed))
    found.send(encode_settle(found.receiver, found.config.token))
    assert found.held(found.receiver) == UNITS


def test_a_collector_that_brings_nothing_opens_nothing(chain: Chain) -> None:
    found = Escrow(chain)
    data = encode_deposit(found.config, UNITS, found.authorization(UNITS))
    # The token answers any call that it does not know with a revert; an address without code with
    # nothing at all, as if it had collected.
    stranger = bytes.fromhex("99" * 20)
    forged = data.replace(bytes.fromhex(COLLECTOR[2:]), stranger)
    with pytest.raises(TransactionReverted):
        found.send(forged)


class Hostile(Escrow):
    """A channel in a token that calls the escrow back while it moves coins to a chosen address."""

    def __init__(self, chain: Chain) -> None:
        contract = deploy_contract(chain.contracts, "HostileToken")
        super().__init__(chain, SandboxToken("x", contract, 6, TokenKind.plain))

    def call_back(self, recipient: str, data: bytes) -> None:
        for signature, argument in (("setCallBack(bytes)", data), ("setMode(address,uint8)", None)):
            arguments = (argument,) if argument is not None else (recipient, CALLS_BACK)
            wallet = self.chain.payer
            mine_until(wallet, wallet.call_contract(self.token.contract, signature, *arguments))

    def deposit(self, units: int = 10 * UNITS) -> bytes:
        data = encode_deposit(self.config, units, Authorization(0, 0, 0, b""))
        collector = bytes.fromhex(COLLECTOR[2:])
        data = data.replace(collector, bytes.fromhex(self.token.contract[2:]))
        self.send(data)
        return data


def test_a_token_that_calls_back_gets_nothing_twice(chain: Chain) -> None:
    found = Hostile(chain)
    deposit = found.deposit()
    found.send(encode_claim([found.claim(UNITS)]), found.authorizer)
    settle = encode_settle(found.receiver, found.token.contract)
    calls = [settle, deposit, encode_claim([]), encode_multicall([settle])]
    for recipient, act, sender in (
        (found.receiver, settle, None),
        (found.config.payer, encode_refund(found.config, UNITS), found.authorizer),
        (ESCROW, deposit, None),
    ):
        for data in calls:
            found.call_back(recipient, data)
            with pytest.raises(TransactionReverted):
                found.send(act, sender)
    assert found.state() == (10 * UNITS, UNITS)
    assert found.held(ESCROW) == 10 * UNITS
    # A call that only reads may come back in, and the payment is made once.
    found.call_back(found.receiver, encode_call("channels(bytes32)", found.id))
    found.send(settle)
    assert (found.held(found.receiver), found.held(ESCROW)) == (UNITS, 9 * UNITS)


def test_what_does_not_fit_a_call_is_refused(chain: Chain) -> None:
    found = Escrow(chain)
    assert escrow.CLAIMS_MAX * 20_000 < TRANSACTION_GAS_MAX
    with pytest.raises(TransactionReverted):
        found.send(
            encode_deposit(replace(found.config, receiver=ZERO_ADDRESS), 1, found.authorization(1))
        )
