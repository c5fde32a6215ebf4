"""Approvals of whole batches: one word for all that was shown, and for nothing else."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.flow.policing import ACME, ASSET, NETWORK, OPERATOR_KEY, WHOLE, Desk, Member
from tests.networks import a_network, a_token

from sakk.client.approval import batch_message
from sakk.core.approval import content_digest
from sakk.core.approval_batch import message_by
from sakk.core.errors import (
    ApprovalStale,
    ParameterMissing,
    ResourceMissing,
    StepUpFailed,
    StepUpRequired,
    UnexpectedState,
)
from sakk.core.network import Currency
from sakk.core.payout import Payout, PayoutStatus, approved_content
from sakk.core.payout_batch import PayoutBatch
from sakk.core.person import Actor
from sakk.core.policy import Action, Amount, Rule, seed_rules
from sakk.flow import person
from sakk.flow.approval_batch import approve_batch, explain_batch
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word, signatures
from sakk.store import payout as payouts
from sakk.store import payout_batch as batches
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.network import put_asset, put_currency, put_network

TWO = Rule(name="two", action=Action.approve, approvals=2, role="approver")


@pytest.fixture
def desk(database: Database) -> Desk:
    desk = Desk(database, new_id("acct"))
    listed(desk)
    return desk


def listed(desk: Desk) -> None:
    """The token that the payouts are in, and its network."""
    native = f"{NETWORK}/slip44:60"
    with desk.database.begin() as connection:
        put_currency(connection, Currency("usdc", "USD Coin", "coin", 6, 1, 1, desk.now))
        put_network(
            connection,
            a_network(NETWORK, poll_milliseconds=1, native_asset=native, created=desk.now),
        )
        put_asset(
            connection,
            a_token(ASSET, sweep_minimum=1, created=desk.now),
        )


def batch_of(desk: Desk, wholes: list[int], **changes: Any) -> str:
    """A batch whose payouts were screened, and wait for what the policy says."""
    batch = PayoutBatch(
        id=new_id("pob"),
        account_id=desk.account,
        livemode=False,
        lines=len(wholes),
        digest="d",
        source="lines",
        description=None,
        metadata={},
        allow_duplicates=True,
        canceled_at=None,
        created=desk.now,
    )
    with desk.database.begin() as connection:
        batches.insert(connection, batch, [])
    for line, whole in enumerate(wholes, 1):
        desk.payout(whole, batch=batch.id, line=line, **changes)
    desk.decide()
    return batch.id


def explained(desk: Desk, batch: str, by: Actor) -> dict[str, Any]:
    with desk.database.begin() as connection:
        return explain_batch(connection, batch, actor=by, livemode=False)


def approve_all(desk: Desk, batch: str, by: Member | Actor, digest: str | None) -> dict[str, Any]:
    word = Word(
        by.actor if isinstance(by, Member) else by,
        StepUp(code=by.code() if isinstance(by, Member) else None),
        digest,
    )
    made = [new_id("apr") for _ in range(50)]
    return approve_batch(desk.parts, batch, word, approval_id=made.__getitem__, livemode=False)


def test_a_batch_is_approved_with_its_sum_shown(desk: Desk) -> None:
    small = Amount(up_to="10", unit="whole")
    desk.enact(Rule(name="small", action=Action.allow, amount=small), TWO)
    batch = batch_of(desk, [5, 100, 200, 300])
    one, two = desk.member("carl", "approver"), desk.member("dora", "approver")
    shown = explained(desk, batch, one.actor)
    assert shown["text"].startswith(f"Approve 3 payouts of {batch}: 600.00 USDC (token 0x036C")
    assert "to 1 address, 1 of them never paid before, the largest 300.00 USDC" in shown["text"]
    assert [(each["line"], each["text"][:10]) for each in shown["lines"]] == [
        (2, "100.00 USD"),
        (3, "200.00 USD"),
        (4, "300.00 USD"),
    ]
    assert shown["digest"] == content_digest(shown["message"].encode())
    assert shown["totals"] == [
        {"currency": "usdc", "count": 3, "amount": 600 * WHOLE, "shown": "600.00"}
    ]
    for wrong, error in ((None, ParameterMissing), ("00" * 32, ApprovalStale)):
        with pytest.raises(error):
            approve_all(desk, batch, one, wrong)
    first = approve_all(desk, batch, one, shown["digest"])
    assert (first["approvals"], first["approved"]) == (3, 0)
    with pytest.raises(UnexpectedState):
        approve_all(desk, batch, one, shown["digest"])
    second = approve_all(desk, batch, two, explained(desk, batch, two.actor)["digest"])
    assert (second["approvals"], second["approved"]) == (3, 3)
    assert desk.statuses() == ["approved"] * 4


def test_what_changed_since_it_was_shown_is_not_approved(desk: Desk) -> None:
    desk.enact(TWO)
    batch, one = batch_of(desk, [1, 2]), desk.member("carl", "approver")
    digest = explained(desk, batch, one.actor)["digest"]
    with desk.database.begin() as connection:
        connection.exec_driver_sql("UPDATE payouts SET status = 'canceled' WHERE line = 2")
    with pytest.raises(ApprovalStale):
        approve_all(desk, batch, one, digest)
    assert explained(desk, batch, one.actor)["count"] == 1


def test_of_a_batch_one_approves_what_one_may(desk: Desk) -> None:
    maker = desk.member("mia", "approver", "finance")
    desk.enact(TWO)
    batch = batch_of(desk, [1, 2], initiator="key_1", initiator_person=maker.id)
    for nobody in (maker, desk.member("vera", "viewer")):
        shown = explained(desk, batch, nobody.actor)
        assert (shown["count"], shown["waiting"]) == (0, 2)
        with pytest.raises(UnexpectedState, match="waits for your approval"):
            approve_all(desk, batch, nobody, shown["digest"])
    desk.enact(*seed_rules()[1:])
    desk.decide()
    digest = explained(desk, batch, OPERATOR_KEY)["digest"]
    assert approve_all(desk, batch, OPERATOR_KEY, digest)["approved"] == 2
    with pytest.raises(ResourceMissing):
        explained(desk, "pob_x", OPERATOR_KEY)


def signer_of(desk: Desk) -> tuple[Member, Ed25519PrivateKey]:
    """An approver with a key of their own."""
    one, key = desk.member("carl", "approver"), Ed25519PrivateKey.generate()
    person.set_public_key(
        desk.parts,
        one.id,
        actor=one.actor,
        livemode=False,
        public_key=key.public_key().public_bytes_raw().hex(),
        step_up=StepUp(code=one.code()),
    )
    return one, key


def sign_all(
    desk: Desk, batch: str, by: Member, signature: bytes, digest: str | None = None
) -> dict[str, Any]:
    word = Word(by.actor, StepUp(signature=signature.hex()), digest)
    made = [new_id("apr") for _ in range(50)]
    return approve_batch(desk.parts, batch, word, approval_id=made.__getitem__, livemode=False)


def rows_of(desk: Desk, batch: str) -> list[Payout]:
    with desk.database.begin() as connection:
        return payouts.list_batch(connection, batch)


def test_a_batch_is_signed_once_and_each_payout_shows_it(desk: Desk) -> None:
    desk.enact(Rule(name="one", action=Action.approve, approvals=1, role="approver"))
    batch = batch_of(desk, [1, 2, 3, 4, 5])
    one, key = signer_of(desk)
    shown = explained(desk, batch, one.actor)
    # Made again from the lines that were read, not taken from the server.
    message = batch_message(batch, [each["message"] for each in shown["lines"]]).encode()
    assert message.decode() == shown["message"]
    for wrong in (key.sign(message + b"0"), bytes(64)):
        with pytest.raises(StepUpFailed):
            sign_all(desk, batch, one, wrong)
    with pytest.raises(ApprovalStale):
        sign_all(desk, batch, one, key.sign(message), "00" * 32)
    with pytest.raises(StepUpRequired):
        approve_batch(
            desk.parts,
            batch,
            Word(one.actor, digest=shown["digest"]),
            approval_id=lambda place: f"apr_{place}",
            livemode=False,
        )
    done = sign_all(desk, batch, one, key.sign(message))
    assert (done["approvals"], done["approved"]) == (5, 5)
    rows = rows_of(desk, batch)
    assert {row.status for row in rows} == {PayoutStatus.approved.value}
    with desk.database.begin() as connection:
        found = signatures(connection, {row.id: approved_content(row) for row in rows})
    for row in rows:
        [given] = found[row.id]
        assert given.member is not None
        assert given.signature == key.sign(message)
        assert message_by(approved_content(row), given.member) == message
        assert message_by(approved_content(row) + b"0", given.member) != message


def test_the_operators_key_approves_nothing_that_it_was_not_shown(desk: Desk) -> None:
    """A signature is a person's: beside a key alone it stands for nothing."""
    desk.enact(*seed_rules()[1:])
    batch = batch_of(desk, [1, 2])
    word = Word(OPERATOR_KEY, StepUp(signature="00" * 64))
    with pytest.raises(ParameterMissing):
        approve_batch(desk.parts, batch, word, approval_id=lambda at: f"apr_{at}", livemode=False)


def test_whom_a_line_pays_is_told(desk: Desk) -> None:
    """An address that was paid before, and one that only looks familiar, are told apart."""
    desk.enact(TWO)
    before = desk.payout(7, status=PayoutStatus.posted.value)
    batch = batch_of(desk, [1])
    stranger = ACME[:-1] + "0"
    extra = desk.payout(2, batch=batch, line=2, destination=stranger)
    desk.decide()
    shown = explained(desk, batch, desk.member("carl", "approver").actor)
    assert [each["payout"] for each in shown["lines"]][-1] == extra.id
    assert "paid once before" in shown["lines"][0]["text"]
    assert "not in the address book, never paid before" in shown["lines"][1]["text"]
    assert before.destination == ACME
