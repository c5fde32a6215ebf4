"""Two institutions tell each other who sends and who receives, before anything is signed."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.fake_vasp import FakeVasp, Message
from tests.flow.harness import World
from tests.flow.money import payout_now, rich, transaction_of, units_at
from tests.flow.policing import ACME, VAULT, Desk
from tests.flow.test_travel_rule import (
    HOSTED,
    WALLET,
    ask,
    describe,
    enact,
    known,
    opened_cases,
    record,
    told_types,
)

from sakk.core.beneficiary import Wanted
from sakk.core.payout import Payout, PayoutRequest
from sakk.core.policy import Action, Rule
from sakk.core.trp import Confirmation, Resolution, encode_travel_address
from sakk.flow import payout as payout_flow
from sakk.flow import travel_rule
from sakk.flow.stage import Stage
from sakk.flow.travel_exchange import Asked, Told
from sakk.flow.travel_rule import travel_rule_stage
from sakk.flow.travel_send import travel_send_stage
from sakk.flow.trp import Credentials, TrpRail
from sakk.flow.wallet_proof import wallet_proof_stage
from sakk.store import payout as payouts
from sakk.store import travel_rule as store
from sakk.store.database import Database, fetch_all, update_records
from sakk.store.identity import new_id
from sakk.store.seed import seed_currencies
from sakk.store.travel_rule import TravelMessage

TRAVEL_ADDRESS = encode_travel_address("https://vasp.test/x")
REACHABLE = {
    **WALLET,
    "wallet": "hosted",
    "vasp": {"name": "Bob", "travel_address": TRAVEL_ADDRESS},
}
CALLBACK = "https://vasp.test/confirm"


@dataclass
class ScriptedRail:
    """Answers as a test says, and keeps what it was given."""

    answers: list[Told] = field(default_factory=list)
    asked: list[tuple[str, str, Asked]] = field(default_factory=list)
    resolved: list[tuple[str, str, Resolution]] = field(default_factory=list)
    confirmed: list[tuple[str, str, Confirmation]] = field(default_factory=list)

    def inquire(self, url: str, identifier: str, asked: Asked) -> Told:
        self.asked.append((url, identifier, asked))
        return self.answers.pop(0) if self.answers else Told(taken=True)

    def resolve(self, url: str, identifier: str, resolution: Resolution) -> Told:
        self.resolved.append((url, identifier, resolution))
        return self.answers.pop(0) if self.answers else Told(taken=True)

    def confirm(self, url: str, identifier: str, confirmation: Confirmation) -> Told:
        self.confirmed.append((url, identifier, confirmation))
        return self.answers.pop(0) if self.answers else Told(taken=True)


@pytest.fixture
def desk(database: Database) -> Desk:
    desk = Desk(database, new_id("acct"))
    with database.begin() as connection:
        seed_currencies(connection)
    desk.enact(Rule(name="allow", action=Action.allow))
    enact(desk)
    describe(desk)
    return desk


def send(desk: Desk, rail: ScriptedRail) -> int:
    parts = replace(desk.parts, public_url="https://sakk.test")
    return travel_send_stage(parts, rail).run()


def messages(desk: Desk) -> list[TravelMessage]:
    with desk.database.begin() as connection:
        return fetch_all(
            connection,
            store.travel_messages.select().order_by(store.travel_messages.c.id),
            TravelMessage,
        )


def agrees(address: str = ACME) -> Told:
    return Told(taken=True, resolution=Resolution(address, CALLBACK))


def test_an_agreement_lets_the_payout_go_and_the_transaction_is_told(desk: Desk) -> None:
    row = ask(desk, 5_000, REACHABLE)
    assert row.travel_rule == "pending"
    rail = ScriptedRail([agrees()])
    assert (send(desk, rail), send(desk, rail)) == (1, 0)
    [(url, identifier, asked)] = rail.asked
    assert url == "https://vasp.test/x?t=i"
    assert identifier == record(desk, row).request_identifier
    assert (asked.amount, asked.asset) == ("5000.000000", {"caip19": row.asset})
    assert asked.callback.startswith("https://sakk.test/trp/resolutions/")
    assert asked.payload.originator is not None
    found = record(desk, row)
    assert (found.status, found.exchange) == ("complete", "approved")
    desk.decide()
    assert desk.read(row).status == "approved"
    with desk.database.begin() as connection:
        update_records(
            connection,
            payouts.payouts,
            [{"id": row.id, "status": "posted", "tx_hash": "0x" + "ab" * 32}],
        )
    travel_rule_stage(desk.parts).run()
    assert send(desk, rail) == 1
    assert rail.confirmed == [(CALLBACK, identifier, Confirmation(txid="0x" + "ab" * 32))]
    assert record(desk, row).tx_hash == "0x" + "ab" * 32


def test_a_payout_that_is_not_sent_is_called_off_there_too(desk: Desk) -> None:
    row = ask(desk, 5_000, REACHABLE)
    rail = ScriptedRail([agrees()])
    send(desk, rail)
    with desk.database.begin() as connection:
        update_records(connection, payouts.payouts, [{"id": row.id, "status": "canceled"}])
    travel_rule_stage(desk.parts).run()
    send(desk, rail)
    [(_, _, confirmation)] = rail.confirmed
    assert (confirmation.txid, confirmation.canceled) == (None, "It was not sent.")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Resolution(rejected="We know no such customer."), "We know no such customer."),
        (Resolution("0x" + "99" * 20, CALLBACK), "It agreed to another address than the payout's."),
    ],
)
def test_a_refusal_is_a_case_and_a_person_ends_it(
    desk: Desk, answer: Resolution, reason: str
) -> None:
    row = ask(desk, 5_000, REACHABLE)
    send(desk, ScriptedRail([Told(taken=True, resolution=answer)]))
    found = record(desk, row)
    assert (found.status, found.exchange, found.reason) == ("refused", "rejected", reason)
    assert [subject for subject, _ in opened_cases(desk)] == [row.id]
    desk.decide()
    assert desk.read(row).status == "screened"
    assert told_types(desk, found.id)[-1] == "travel_rule.refused"
    with desk.database.begin() as connection:
        travel_rule.refuse(
            connection, row.id, livemode=False, by="per_1", reason="Ended.", now=desk.now
        )
    assert desk.read(row).status == "rejected"


def test_an_answer_that_comes_later(desk: Desk) -> None:
    row = ask(desk, 5_000, REACHABLE)
    send(desk, ScriptedRail([Told(taken=True, resolution=Resolution())]))
    found = record(desk, row)
    assert (found.status, found.exchange) == ("pending", "asked")

    def answer(resolution: Resolution) -> None:
        with desk.database.begin() as connection:
            travel_rule.answered(connection, found.id, resolution, livemode=False, now=desk.now)

    answer(Resolution())
    answer(Resolution(ACME, CALLBACK))
    assert record(desk, row).status == "complete"
    # Said twice, and said otherwise afterwards, it stays what it was.
    answer(Resolution(ACME, CALLBACK))
    answer(Resolution(rejected="No."))
    assert record(desk, row).status == "complete"


def test_silence_is_a_case_in_time(desk: Desk) -> None:
    row = ask(desk, 5_000, REACHABLE)
    send(desk, ScriptedRail())
    stage = travel_rule_stage(desk.parts)
    desk.advance(86_000)
    assert travel_rule_stage(desk.parts).run() == 0
    desk.advance(1_000)
    assert stage.run() == 1
    assert (stage.run(), record(desk, row).exchange) == (0, "unanswered")
    [(subject, why)] = opened_cases(desk)
    assert subject == row.id
    assert why.endswith("No answer came in time.")
    # It may still come.
    with desk.database.begin() as connection:
        travel_rule.answered(
            connection,
            record(desk, row).id,
            Resolution(ACME, CALLBACK),
            livemode=False,
            now=desk.now,
        )
    assert record(desk, row).status == "complete"


def test_silence_where_the_data_is_enough(desk: Desk) -> None:
    enact(desk, silence="proceed")
    row = ask(desk, 5_000, REACHABLE)
    send(desk, ScriptedRail())
    desk.advance(90_000)
    travel_rule_stage(desk.parts).run()
    assert record(desk, row).status == "complete"
    assert opened_cases(desk) == []


def test_what_is_not_taken_is_sent_again_and_given_up_in_time(desk: Desk) -> None:
    row = ask(desk, 5_000, REACHABLE)
    away = Told(taken=False, error="no answer within 20 s")
    rail = ScriptedRail([away, away])
    assert (send(desk, rail), send(desk, rail)) == (1, 0)
    desk.advance(10)
    send(desk, rail)
    assert {identifier for _, identifier, _ in rail.asked} == {record(desk, row).request_identifier}
    assert len(rail.asked) == 2
    desk.advance(86_400)
    rail.answers = [away]
    send(desk, rail)
    [message] = messages(desk)
    assert (message.status, message.answer) == ("failed", "no answer within 20 s")
    assert record(desk, row).exchange == "unanswered"
    assert opened_cases(desk)
    assert send(desk, rail) == 0


def test_what_is_refused_outright_is_not_sent_again(desk: Desk) -> None:
    row = ask(desk, 5_000, REACHABLE)
    rail = ScriptedRail([Told(taken=False, refused=True, error="it answered 404")])
    assert (send(desk, rail), send(desk, rail)) == (1, 0)
    assert record(desk, row).exchange == "unanswered"
    assert messages(desk)[0].status == "failed"


def test_messages_hold_nobodys_data(desk: Desk) -> None:
    ask(desk, 5_000, {**REACHABLE, "name": "Secretname"})
    [message] = messages(desk)
    assert set(message.detail) == {"asset", "amount"}
    assert "Secretname" not in str(message)


def test_an_asset_is_told_by_its_dti_where_it_is_known(desk: Desk) -> None:
    rows = desk.payouts([1])
    enact(desk, dti={rows[0].asset: "4H95J0R2X"})
    ask(desk, 5_000, REACHABLE)
    rail = ScriptedRail()
    send(desk, rail)
    assert rail.asked[0][2].asset == {"dti": "4H95J0R2X"}


def test_the_directory_says_where_to_ask(desk: Desk) -> None:
    known(desk, addresses=[ACME], travel_address=encode_travel_address("https://bob.test/trp"))
    ask(desk, 5_000, WALLET)
    ask(desk, 5_000, HOSTED, destination="0x" + "55" * 20)
    rail = ScriptedRail()
    send(desk, rail)
    assert [url for url, _, _ in rail.asked] == ["https://bob.test/trp?t=i"]


@pytest.fixture
def fake(tmp_path: Path) -> Any:
    with FakeVasp(tmp_path) as fake:
        yield fake


@pytest.fixture
def sealing(world: World) -> World:
    """A world that can seal what it is told, and that others can reach."""
    world.parts = replace(world.parts, vault=VAULT, public_url="https://sakk.test")
    for stage in (travel_rule_stage(world.parts), wallet_proof_stage(world.parts)):
        world.stages[stage.name] = stage
    return world


def sending(world: World, fake: FakeVasp) -> Stage:
    rail = TrpRail(Credentials(authorities=fake.authority), allow_loopback=True)
    return travel_send_stage(world.parts, rail)


def agreeing(address: str, fake: FakeVasp) -> Callable[[Message], tuple[int, bytes]]:
    def answer(message: Message) -> tuple[int, bytes]:
        if "IVMS101" not in message.body:
            return 204, b""
        approved = {"address": address, "callback": f"{fake.url}/confirm"}
        return 200, json.dumps({"approved": approved}).encode()

    return answer


def test_a_payout_on_a_chain_is_agreed_to_before_it_is_signed(
    sealing: World, fake: FakeVasp
) -> None:
    world = sealing
    rich(world, 5_000, liquidity=10_000)
    desk = Desk(world.database, world.account, now=world.clock())
    enact(desk)
    describe(desk)
    travel = {
        **WALLET,
        "wallet": "hosted",
        "vasp": {"name": "Bob", "travel_address": encode_travel_address(f"{fake.url}/x")},
    }
    row: Payout = payout_flow.create(
        world.parts,
        PayoutRequest(
            amount=2_000_000_000,
            currency="usdc",
            destination=Wanted(network=world.chain.network, address=ACME),
            travel_rule=travel,
        ),
        identifier=new_id("po"),
        account_id=world.account,
        livemode=False,
    ).run(world.database)
    assert row.travel_rule == "pending"
    world.run()
    assert payout_now(world, row).status == "screened"
    fake.answer = agreeing(ACME, fake)
    assert sending(world, fake).run() == 1
    world.run()
    world.finalize()
    done = payout_now(world, row)
    assert (done.status, done.travel_rule) == ("posted", "complete")
    assert units_at(world, ACME) == 2_000_000_000
    assert sending(world, fake).run() == 1
    inquiry, confirmation = fake.messages
    assert confirmation.body == {"txid": transaction_of(world, row).hash}
    identifiers = {each.headers["request-identifier"] for each in fake.messages}
    assert identifiers == {record(desk, row).request_identifier}
    assert inquiry.body["amount"] == 2_000
    world.check()
