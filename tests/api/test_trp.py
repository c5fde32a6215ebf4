"""The door for other institutions: who may ask, what is agreed to, and what a stranger learns."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sakk.api.dependencies import Dependencies
from sakk.api.limit import Limits
from sakk.api.pipeline import Request
from sakk.api.trp import TrpDoor
from sakk.core.errors import ParameterInvalid
from sakk.core.evm import checksum_address
from sakk.core.ivms101 import write
from sakk.core.policy import Action, Rule
from sakk.core.travel_rule import TravelRule, person_of
from sakk.core.trp import API_VERSION, decode_travel_address
from sakk.core.vasp import vasp_person
from sakk.flow import travel_inquiry, travel_rule
from sakk.flow.travel_need import opened
from sakk.flow.travel_send import travel_send_stage
from sakk.flow.trp import Credentials, TrpRail
from sakk.store import address as addresses
from sakk.store import network
from sakk.store import travel_rule as store
from sakk.store.database import Database, fetch_all
from sakk.store.identity import new_id
from sakk.store.seed import seed_currencies
from tests.api.world import XPUB
from tests.fake_vasp import FakeVasp, Message
from tests.flow.policing import ASSET, NETWORK, VAULT, Desk
from tests.flow.test_travel_exchange import ScriptedRail
from tests.flow.test_travel_rule import ask, describe, enact, network_of, record, told_types
from tests.networks import a_token

IDENTIFIER = "129f6013-9125-4beb-9e86-bb20c440e164"
HEADERS = {
    "api-version": API_VERSION,
    "request-identifier": IDENTIFIER,
    "content-type": "application/json; charset=utf-8",
}
BOB = write(vasp_person("Bob's Exchange", lei="5493001KJTIIGC8Y1R12", country="GB"))


def named(name: str, **more: Any) -> dict[str, Any]:
    from datetime import date

    given = {"type": "legal", "name": name, **more}
    return write(person_of(given, today=date(2026, 1, 1), param="p"))


def inquiry(beneficiary: str = "Shop Ltd", **changes: Any) -> dict[str, Any]:
    sender = named("Sender Ltd", lei="506700GE1G29325QX363")
    return {
        "asset": {"caip19": ASSET},
        "amount": 2_000.5,
        "callback": "https://bob.test/resolutions/1",
        "IVMS101": {
            "originator": {"originatorPersons": [sender], "accountNumber": ["7"]},
            "beneficiary": {"beneficiaryPersons": [named(beneficiary)]},
            "originatingVASP": {"originatingVASP": BOB},
        },
        **changes,
    }


class House:
    """A desk whose account has a deposit address, and the door before it."""

    def __init__(self, database: Database) -> None:
        self.desk = Desk(database, new_id("acct"))
        self.parts = replace(self.desk.parts, public_url="https://sakk.test")
        self.desk.enact(Rule(name="allow", action=Action.allow))
        with database.begin() as connection:
            seed_currencies(connection)
            network_of(connection)
            network.put_asset(
                connection,
                a_token(ASSET, created=self.desk.now),
            )
            addresses.put_wallet(connection, XPUB, now=self.desk.now)
            issued = addresses.issue(
                connection,
                seeds=addresses.find_seeds(connection),
                account_id=self.desk.account,
                livemode=False,
                now=self.desk.now,
                payment_intent="pi_1",
                customer=None,
            )
            self.deposit = issued.on("eip155:84532")
        enact(self.desk)
        self.door = TrpDoor(
            Dependencies(self.parts),
            Limits(requests_per_second=None, failures_per_minute=None, processes=1),
            lambda: self.desk.now,
        )

    def travel_address(self, **changes: Any) -> str:
        given: dict[str, Any] = {
            "address": self.deposit,
            "account_id": self.desk.account,
            **changes,
        }
        with self.desk.database.begin() as connection:
            text, _ = travel_inquiry.hand_out(
                connection,
                self.parts,
                network_name=NETWORK,
                livemode=False,
                now=self.desk.now,
                **given,
            )
        return text

    def call(
        self,
        url: str,
        body: Any,
        *,
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        kind, token = url.partition("?")[0].rsplit("/", 2)[1:]
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer, extra = self.door.answer(
            Request(
                "req",
                method,
                "/trp",
                {"kind": kind, "token": token},
                b"",
                headers or HEADERS,
                raw,
                "192.0.2.1",
            )
        )
        assert extra["api-version"] == API_VERSION
        if answer.status == 200:
            return 200, json.loads(answer.body)
        return answer.status, answer.body.decode()

    def inquire(self, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        return self.call(decode_travel_address(self.travel_address()), body or inquiry())

    def records(self) -> list[TravelRule]:
        with self.desk.database.begin() as connection:
            return fetch_all(connection, store.travel_rules.select(), TravelRule)


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


def test_what_the_regime_wants_of_a_known_beneficiary_is_agreed_to(house: House) -> None:
    describe(house.desk)
    status, answer = house.inquire(inquiry("SHOP, LTD."))
    assert status == 200
    assert answer["approved"]["address"] == checksum_address(house.deposit)
    [found] = house.records()
    assert (found.direction, found.status, found.exchange) == ("incoming", "complete", "approved")
    assert (found.amount, found.currency) == (2_000_500_000, "usdc")
    payload, _ = opened(VAULT, found)
    assert payload.originator is not None
    assert "Sender" not in str(replace(found, payload=None))
    assert told_types(house.desk, found.id) == ["travel_rule.received"]
    # Asked again, it is answered as it was.
    assert house.inquire(inquiry("SHOP, LTD.")) == (200, answer)
    assert len(house.records()) == 1
    assert house.call(answer["approved"]["callback"], {"txid": "0x" + "AB" * 32}) == (204, "")
    assert house.records()[0].tx_hash == "0x" + "ab" * 32
    assert house.call(answer["approved"]["callback"], {"canceled": "Not sent."}) == (204, "")
    assert house.records()[0].ended_at is not None


@pytest.mark.parametrize(
    "body",
    [
        inquiry("Somebody Else Ltd"),
        inquiry(asset={"slip0044": 60}),
        inquiry(amount="0.0000001"),
    ],
)
def test_what_a_person_has_to_look_at(house: House, body: dict[str, Any]) -> None:
    describe(house.desk)
    assert house.inquire(body) == (200, {"version": API_VERSION})
    [found] = house.records()
    assert (found.status, found.exchange) == ("pending", "asked")
    with house.desk.database.begin() as connection:
        travel_rule.complete(
            connection, found.id, livemode=False, by="per_1", reason="Known.", now=house.desk.now
        )
    rail = ScriptedRail()
    assert travel_send_stage(house.parts, rail).run() == 1
    [(url, identifier, resolution)] = rail.resolved
    assert (url, identifier) == ("https://bob.test/resolutions/1", IDENTIFIER)
    assert resolution.address == checksum_address(house.deposit)
    # Whoever asks meanwhile is told the same.
    assert "approved" in house.inquire(body)[1]


def test_what_a_person_refuses(house: House) -> None:
    house.inquire()
    [found] = house.records()
    with house.desk.database.begin() as connection:
        travel_rule.refuse(
            connection, found.id, livemode=False, by="per_1", reason="A front.", now=house.desk.now
        )
    rail = ScriptedRail()
    travel_send_stage(house.parts, rail).run()
    assert rail.resolved[0][2].rejected == "The transfer is not accepted."
    assert house.inquire() == (200, {"rejected": "The transfer is not accepted."})


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({"beneficiary": inquiry()["IVMS101"]["beneficiary"]}, "It does not say: originator.name."),
        ({"originator": inquiry()["IVMS101"]["originator"]}, "It does not say: beneficiary.name."),
        (
            {
                **inquiry()["IVMS101"],
                "originator": {"originatorPersons": [named("A", country="GB")]},
            },
            "IVMS101[originator][originatorPersons][0][legalPerson]: give a geographicAddress",
        ),
    ],
)
def test_what_says_too_little_is_rejected(
    house: House, payload: dict[str, Any], words: str
) -> None:
    describe(house.desk)
    status, answer = house.inquire(inquiry(IVMS101=payload))
    assert status == 200
    assert answer["rejected"].startswith(words)
    assert house.records() == []


def test_strangers_learn_nothing(house: House) -> None:
    good = decode_travel_address(house.travel_address())
    wrong = good.replace(good.rpartition("/")[2][:4], "0000")
    nothing = (404, "")
    for url in (
        wrong,
        good.replace("inquiries", "confirmations"),
        good.replace("inquiries", "resolutions"),
        good.replace("inquiries", "things"),
        "https://sakk.test/trp/inquiries/short?t=i",
    ):
        assert house.call(url, b"no json at all") == nothing
        assert house.call(url, inquiry(), headers={}) == nothing
    assert house.call(good, inquiry(), method="GET") == nothing
    house.desk.advance(91 * 86_400)
    assert house.call(good, inquiry()) == nothing
    # Handed out again, it is the same and good again.
    assert decode_travel_address(house.travel_address()) == good
    assert house.call(good, inquiry())[0] == 200


@pytest.mark.parametrize(
    ("headers", "body", "words"),
    [
        ({**HEADERS, "api-version": "2.1.0"}, inquiry(), "api-version"),
        ({**HEADERS, "request-identifier": ""}, inquiry(), "request-identifier"),
        ({**HEADERS, "content-type": "text/html"}, inquiry(), "application/json"),
        (HEADERS, b"{", "no JSON"),
        (HEADERS, inquiry(amount=-1), "amount"),
        (HEADERS, inquiry(IVMS101={"x": 1}), "IVMS101[x]"),
    ],
)
def test_what_the_protocol_does_not_allow(
    house: House, headers: dict[str, str], body: Any, words: str
) -> None:
    url = decode_travel_address(house.travel_address())
    status, text = house.call(url, body, headers=headers)
    assert status == 400
    assert words in text
    assert house.records() == []


def test_who_asks_without_end_is_turned_away(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(travel_inquiry, "ANNOUNCED_MAX", 2)
    url = decode_travel_address(house.travel_address())
    found = [
        house.call(url, inquiry(), headers={**HEADERS, "request-identifier": str(number)})[0]
        for number in range(4)
    ]
    assert found == [200, 200, 429, 429]


def test_travel_addresses_are_of_ones_own_deposit_addresses(house: House) -> None:
    for changes in ({"account_id": new_id("acct")}, {"address": "0x" + "77" * 20}):
        with pytest.raises(ParameterInvalid, match="none of the account's"):
            house.travel_address(**changes)


def test_two_houses_talk_over_https(house: House, tmp_path: Path) -> None:
    """Ours asks, over HTTPS, and ours answers: one house as both, by different accounts."""
    describe(house.desk, name="Receiver Ltd")
    sender = replace(house.desk, account=new_id("acct"))
    describe(sender, name="Payer Ltd")
    to = house.deposit

    def answer(message: Message) -> tuple[int, bytes]:
        status, body = house.call(message.path, message.body, headers=message.headers)
        return status, json.dumps(body).encode() if status == 200 else b""

    with FakeVasp(tmp_path, answer=answer) as fake:
        house.parts = replace(house.parts, public_url=fake.url)
        house.door = TrpDoor(
            Dependencies(house.parts),
            Limits(requests_per_second=None, failures_per_minute=None, processes=1),
            lambda: house.desk.now,
        )
        told = {
            "type": "legal",
            "name": "Receiver Ltd",
            "wallet": "hosted",
            "vasp": {"name": "Sakk", "travel_address": house.travel_address()},
        }
        row = ask(sender, 5_000, told, destination=to)
        rail = TrpRail(Credentials(authorities=fake.authority), allow_loopback=True)
        assert travel_send_stage(house.parts, rail).run() == 1
        assert record(sender, row).status == "complete"
        [incoming] = [each for each in house.records() if each.direction == "incoming"]
        assert incoming.request_identifier == record(sender, row).request_identifier
        assert incoming.amount == 5_000_000_000
        payload, _ = opened(VAULT, incoming)
        assert payload.originator is not None
        assert payload.originator.originator_persons[0].legal_name() == "Payer Ltd"
