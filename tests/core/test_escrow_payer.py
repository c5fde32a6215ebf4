"""What a payer in escrow signs to be answered, and what it is told."""

from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from tests.core.test_dispute import DISPUTE
from tests.core.test_escrow_channel import CHANNEL, STANDING

from sakk.core import escrow_payer as rules
from sakk.core.eip712 import digest, signer
from sakk.core.evm import ZERO_ADDRESS

MESSAGES: dict[str, dict[str, object]] = {
    "Read": {},
    "Dispute": {"ceiling": 1_000, "amount": 0, "reason": "empty"},
    "Withdraw": {"dispute": "cdp_1"},
}
COMMON = {
    "network": "sakk:01jd8k00000000000000000000",
    "channel": CHANNEL.channel,
    "signer": CHANNEL.payer,
    "deadline": 1_795_651_200,
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_is_signed_is_what_wallets_sign(kind: str) -> None:
    """eth-account signs the document, in whichever order the fields are given."""
    document = rules.typed_data(kind, COMMON | MESSAGES[kind])
    key = Account.from_key("0x" + "11" * 32)
    signed = key.sign_message(encode_typed_data(full_message=document))
    assert signer(document, signed.signature.hex()) == key.address.lower()


@pytest.mark.parametrize(
    ("who", "authorizer", "may"),
    [
        (CHANNEL.payer, CHANNEL.payer_authorizer, True),
        (CHANNEL.payer_authorizer, CHANNEL.payer_authorizer, True),
        (CHANNEL.receiver, CHANNEL.payer_authorizer, False),
        (ZERO_ADDRESS, ZERO_ADDRESS, False),
    ],
)
def test_who_may_ask(who: str, authorizer: str, may: bool) -> None:
    assert rules.may_ask(replace(CHANNEL, payer_authorizer=authorizer), who) is may


def test_the_same_message_is_the_same_dispute() -> None:
    deadline = 1_795_651_200
    words = digest(rules.typed_data("Dispute", COMMON | MESSAGES["Dispute"]))
    other = digest(rules.typed_data("Dispute", COMMON | MESSAGES["Dispute"] | {"amount": 1}))
    assert rules.dispute_id(words, deadline) == rules.dispute_id(words, deadline)
    assert rules.dispute_id(words, deadline) != rules.dispute_id(other, deadline)


def test_what_a_payer_is_told() -> None:
    shown = rules.standing(CHANNEL, STANDING)
    assert (shown["charged"], shown["payee"]) == ("30", CHANNEL.account_id)
    assert "livemode" not in shown
    name = f"{CHANNEL.id}:1000:0"
    dispute = replace(DISPUTE, account_id=None, payer="0x11", session_id=name, nonce=0)
    told = rules.told(dispute)
    assert (told["charge"], told["payer"], told["amount"]) == (name, "0x11", "1000")
    assert "session" not in told
