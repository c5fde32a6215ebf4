"""Test transfers that show whose a wallet is."""

from datetime import UTC, datetime

from sakk.core.wallet_proof import WalletProof, named_amount, public_wallet_proof

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROOF = WalletProof(
    id="wpf_1",
    account_id="acct_1",
    livemode=False,
    beneficiary="ben_1",
    address="0x8ba1f109551bd432803012645ac136ddd64dba72",
    payment_intent="pi_1",
    amount=37,
    currency="usd",
    status="open",
    payin=None,
    expires_at=NOW,
    created=NOW,
)


def test_amounts_are_small_never_round_and_follow_from_the_id() -> None:
    amounts = {named_amount(f"wpf_{number}", 2) for number in range(500)}
    assert min(amounts) >= 11
    assert max(amounts) <= 99
    assert len(amounts) > 60
    assert named_amount("wpf_1", 6) == named_amount("wpf_1", 2) * 10_000
    assert named_amount("wpf_1", 2) == named_amount("wpf_1", 2)


def test_what_is_shown() -> None:
    assert public_wallet_proof(PROOF, payment=None)["payment_intent"] == "pi_1"
    shown = public_wallet_proof(PROOF, payment={"id": "pi_1"})
    assert shown["payment_intent"] == {"id": "pi_1"}
    assert shown["status"] == "open"
