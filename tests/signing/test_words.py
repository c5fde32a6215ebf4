"""The signer's words: amounts as people say them, where the policy file declares how."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from sakk.signing.keystore import Keystore
from sakk.signing.policy import (
    Policy,
    check_policy,
    load_policy,
    with_coins,
    write_policy,
    wrong_coins,
)
from sakk.signing.protocol import Payment, Purpose, SignRequest
from sakk.signing.rules import decode
from sakk.signing.words import words

NETWORK = "eip155:84532"
USDC = f"{NETWORK}/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
NATIVE = f"{NETWORK}/slip44:60"
COINS = {USDC: ("USDC", 6), NATIVE: ("ETH", 18)}
PAYEE = "0x" + "ab" * 20

MakeRequest = Callable[..., SignRequest]


def test_amounts_have_decimals_and_a_symbol(
    keystore: Keystore, policy: Policy, make_request: MakeRequest, tmp_path: Path
) -> None:
    write_policy(tmp_path / "policy.toml", with_coins(policy, COINS))
    named, _ = load_policy(tmp_path / "policy.toml")
    decoded = decode(make_request(amount=1_234_500_000), named, keystore.address)
    assert decoded.explanation == (
        f"payout po_1: 1,234.50 USDC (1234500000 units of {USDC}) from {decoded.source} to {PAYEE},"
        " nonce 0, at most 0.000200000000000000 ETH in fees (2000000000 wei per gas)"
    )
    native = decode(make_request(asset=NATIVE, amount=15 * 10**17), named, keystore.address)
    assert f"1.50 ETH (1500000000000000000 units of {NATIVE})" in native.explanation


def test_every_payment_of_a_dispersal_has_them(
    keystore: Keystore, policy: Policy, make_request: MakeRequest
) -> None:
    request = make_request(purpose=Purpose.disperse, amount=7_000_000)
    payments = tuple(Payment(f"po_{n}", PAYEE, f"{n}000000") for n in (3, 4))
    asked = msgspec.structs.replace(request, payments=payments)
    transaction = decode(make_request(), policy, keystore.address).transaction
    said = words(asked, transaction, with_coins(policy, COINS), source="0x1").splitlines()
    assert said[0].startswith(f"disperse po_1: 2 payments, 7.00 USDC (7000000 units of {USDC})")
    assert said[1:] == [f"payout po_{n}: {n}.00 USDC ({n}000000 units) to {PAYEE}" for n in (3, 4)]


@pytest.mark.parametrize(
    ("asset", "changes", "message"),
    [
        (USDC, {"decimals": 6}, "decimals without a symbol"),
        (USDC, {"symbol": "USDC"}, "a symbol without decimals"),
        (USDC, {"decimals": 37, "symbol": "USDC"}, "decimals is 37"),
        (USDC, {"decimals": -1, "symbol": "USDC"}, "decimals is -1"),
        (USDC, {"decimals": 6, "symbol": "US DC"}, "symbol is 'US DC'"),
        (USDC, {"decimals": 6, "symbol": "1,000\nUSDC"}, "symbol is"),
        (NATIVE, {"decimals": 6, "symbol": "ETH"}, "a native coin has 18"),
    ],
)
def test_what_can_not_be_is_refused_at_the_start(
    policy: Policy, asset: str, changes: dict[str, object], message: str
) -> None:
    assets = tuple(
        msgspec.structs.replace(rule, **changes) if rule.asset == asset else rule
        for rule in policy.assets
    )
    with pytest.raises(ValueError, match=message):
        check_policy(msgspec.structs.replace(policy, assets=assets))


def test_what_differs_from_the_database_is_named(policy: Policy) -> None:
    named = with_coins(policy, {USDC: ("USDC", 18)})
    assert wrong_coins(policy, COINS) == []
    assert wrong_coins(with_coins(policy, COINS), COINS) == []
    [said] = wrong_coins(named, COINS)
    assert said.startswith(f"{USDC} has 18 decimals and the symbol USDC in the file, 6 and USDC")
