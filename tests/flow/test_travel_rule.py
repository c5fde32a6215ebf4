"""Payouts wait until it is known who stands behind them, and go on when it is."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from tests.flow.policing import ACME, BEGIN, NETWORK, VAULT, Desk
from tests.networks import a_network

from sakk.core import event as event_types
from sakk.core.errors import Misconfigured, ParameterInvalid, ResourceMissing, UnexpectedState
from sakk.core.ivms101 import write
from sakk.core.payout import Payout, PayoutPurpose
from sakk.core.policy import Action, Rule
from sakk.core.regime import preset
from sakk.core.travel_rule import RETENTION, TravelRule
from sakk.core.vasp import vasp_person
from sakk.flow import beneficiary, travel_rule, vasp
from sakk.flow.regime import choose
from sakk.flow.travel_need import judge, opened
from sakk.flow.travel_rule import travel_rule_stage
from sakk.store import network
from sakk.store import payout as payouts
from sakk.store import travel_rule as store
from sakk.store.case import cases
from sakk.store.database import Database, fetch_all, insert_records, update_records
from sakk.store.event import events
from sakk.store.identity import new_id
from sakk.store.seed import seed_currencies

LEI = "506700GE1G29325QX363"
WALLET = {"type": "natural", "name": "Lee", "given_name": "Ann", "wallet": "self_hosted"}
HOSTED = {**WALLET, "wallet": "hosted", "vasp": {"name": "Bob", "country": "GB"}}
MERCHANT = {"type": "legal", "name": "Shop Ltd", "country": "HK"}
OURS = write(vasp_person("Sakk Pay", lei=LEI, country="CH"))


@pytest.fixture
def desk(database: Database) -> Desk:
    desk = Desk(database, new_id("acct"))
    with database.begin() as connection:
        seed_currencies(connection)
    desk.enact(Rule(name="allow", action=Action.allow))
    return desk


def enact(desk: Desk, name: str = "fatf", **changes: Any) -> None:
    """Put a regime in force."""
    with desk.database.begin() as connection:
        found = network.list_currencies(connection)
        decimals = {each.currency: each.decimals for each in found}
        document = preset(name, decimals, dollars={"usdc"}).model_dump(mode="json")
        choose(
            connection,
            {**document, **changes},
            OURS,
            identifier=new_id("reg"),
            livemode=False,
            chosen_by="operator",
            now=desk.now,
        )


def ask(desk: Desk, whole: int, told: Mapping[str, Any] | None = None, **changes: Any) -> Payout:
    """A payout as a request records it, screened."""
    return ask_all(desk, [whole], told, **changes)[0]


def ask_all(
    desk: Desk, wholes: list[int], told: Mapping[str, Any] | None = None, **changes: Any
) -> list[Payout]:
    rows = desk.payouts(wholes, **changes)
    given = {} if told is None else {row.id: told for row in rows}
    with desk.database.begin() as connection:
        judged = judge(connection, VAULT, rows, given, now=desk.now)
        update_records(
            connection,
            payouts.payouts,
            [{"id": each.id, "travel_rule": each.travel_rule} for each in judged],
        )
    return judged


def record(desk: Desk, row: Payout) -> TravelRule:
    with desk.database.begin() as connection:
        return travel_rule.find(connection, row.id, account_id=None, livemode=False)


def fields(desk: Desk, row: Payout) -> list[str]:
    return [each["field"] for each in record(desk, row).missing]


def describe(desk: Desk, **changes: Any) -> None:
    with desk.database.begin() as connection:
        travel_rule.describe_account(
            connection,
            VAULT,
            {**MERCHANT, **changes},
            account_id=desk.account,
            livemode=False,
            now=desk.now,
        )


def supply(
    desk: Desk, row: Payout, told: Mapping[str, Any], account: str | None = None
) -> TravelRule:
    with desk.database.begin() as connection:
        return travel_rule.supply(
            connection,
            VAULT,
            row.id,
            told,
            account_id=account or desk.account,
            livemode=False,
            now=desk.now,
        )


def told_types(desk: Desk, identifier: str) -> list[str]:
    with desk.database.begin() as connection:
        found = connection.execute(
            select(events.c.type).where(events.c.object_id == identifier).order_by(events.c.id)
        )
        return list(found.scalars())


def test_without_a_regime_nothing_waits_and_nothing_is_kept(desk: Desk) -> None:
    row = ask(desk, 1_000_000)
    assert row.travel_rule == "not_required"
    desk.decide()
    assert desk.read(row).status == "approved"
    with pytest.raises(ResourceMissing):
        record(desk, row)


def test_a_regime_that_was_given_up_asks_nothing(desk: Desk) -> None:
    enact(desk, "eu")
    waits = ask(desk, 10)
    with desk.database.begin() as connection:
        choose(
            connection,
            "none",
            None,
            identifier=new_id("reg"),
            livemode=False,
            chosen_by=None,
            now=desk.now,
        )
    assert ask(desk, 10).travel_rule == "not_required"
    supply(desk, waits, {})
    assert desk.read(waits).travel_rule == "complete"


def test_a_regime_says_who_we_are(desk: Desk) -> None:
    with (
        desk.database.begin() as connection,
        pytest.raises(ParameterInvalid, match="who you are") as refused,
    ):
        choose(
            connection,
            "eu",
            None,
            identifier=new_id("reg"),
            livemode=False,
            chosen_by=None,
            now=desk.now,
        )
    assert refused.value.param == "institution"


def test_a_payout_waits_until_everything_is_told(desk: Desk) -> None:
    enact(desk)
    small, large = ask(desk, 999), ask(desk, 1_000, destination="0x" + "11" * 20)
    assert (small.travel_rule, large.travel_rule) == ("not_required", "required")
    desk.decide()
    assert (desk.read(small).status, desk.read(large).status) == ("approved", "screened")
    assert fields(desk, large) == [
        "beneficiary.wallet",
        "originator.name",
        "originator.address",
        "beneficiary.name",
    ]
    describe(desk)
    assert fields(desk, large) == ["beneficiary.wallet", "beneficiary.name"]
    assert supply(desk, large, {"wallet": "self_hosted"}).status == "required"
    done = supply(desk, large, {"type": "natural", "name": "Lee"})
    assert (done.status, done.missing, done.counterparty) == ("complete", [], "self_hosted")
    desk.decide()
    assert desk.read(large).status == "approved"
    assert told_types(desk, done.id) == ["travel_rule.required", "travel_rule.completed"]


def test_what_is_told_is_sealed_and_stands_in_no_event(desk: Desk) -> None:
    enact(desk)
    describe(desk, name="Secret Shop Ltd")
    row = ask(desk, 5_000, {**WALLET, "name": "Secretname"})
    found = record(desk, row)
    assert found.status == "complete"
    assert found.payload is not None
    payload, said = opened(VAULT, found)
    document = write(payload)
    assert said["name"] == "Secretname"
    person = document["beneficiary"]["beneficiaryPersons"][0]["naturalPerson"]
    assert person["name"]["nameIdentifier"][0]["primaryIdentifier"] == "Secretname"
    assert document["originator"]["accountNumber"] == [desk.account]
    assert document["originatingVASP"]["originatingVASP"] == OURS
    with desk.database.begin() as connection:
        rows = connection.exec_driver_sql(
            "SELECT t::text FROM travel_rules t UNION ALL SELECT e::text FROM events e"
            " UNION ALL SELECT p::text FROM travel_parties p"
            " UNION ALL SELECT o::text FROM payouts o"
        ).scalars()
        everything = "".join(rows)
    assert "Secret" not in everything
    assert b"Secret".hex() not in everything


def test_parts_of_one_payment_count_together(desk: Desk) -> None:
    enact(desk)
    assert ask(desk, 600).travel_rule == "not_required"
    second = ask(desk, 400)
    assert second.travel_rule == "required"
    assert record(desk, second).requirement["linked_units"] == 600_000_000
    # Another destination, another account, and another day have nothing to do with it.
    assert ask(desk, 600, destination="0x" + "22" * 20).travel_rule == "not_required"
    assert ask(desk, 600, account_id=new_id("acct")).travel_rule == "not_required"
    desk.advance(86_401)
    assert ask(desk, 600).travel_rule == "not_required"


def test_what_did_not_happen_does_not_count(desk: Desk) -> None:
    enact(desk)
    first = ask(desk, 600)
    with desk.database.begin() as connection:
        update_records(connection, payouts.payouts, [{"id": first.id, "status": "canceled"}])
    assert ask(desk, 600).travel_rule == "not_required"


def test_lines_of_one_batch_count_together(desk: Desk) -> None:
    enact(desk)
    found = ask_all(desk, [500, 499, 1, 1])
    assert [each.travel_rule for each in found] == ["not_required"] * 2 + ["required"] * 2


def test_two_at_once_are_counted_together(desk: Desk) -> None:
    enact(desk)
    rows = desk.payouts([600, 600])
    with desk.database.begin() as connection:
        connection.execute(payouts.payouts.delete())

    def record_one(row: Payout) -> str:
        with desk.database.begin() as connection:
            insert_records(connection, payouts.payouts, [row])
            return judge(connection, VAULT, [row], {}, now=desk.now)[0].travel_rule

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(record_one, rows))
    assert sorted(found) == ["not_required", "required"]


@pytest.mark.parametrize(
    ("told", "param"),
    [
        ({**WALLET, "country": "UK"}, "travel_rule[naturalPerson][countryOfResidence]"),
        ({"name": "Lee"}, "travel_rule[type]"),
        ({"person": {"legalPerson": {}}}, "travel_rule[person][legalPerson][name]"),
        (
            {"originator": {"type": "legal", "name": "A", "lei": LEI[:-1] + "9"}},
            "travel_rule[originator][legalPerson][nationalIdentification][nationalIdentifier]",
        ),
        ({**HOSTED, "vasp": {"travel_address": "ta111"}}, "travel_rule[vasp][travel_address]"),
    ],
)
def test_what_can_not_be_is_refused_at_once(desk: Desk, told: dict[str, Any], param: str) -> None:
    enact(desk)
    row = ask(desk, 5_000)
    with pytest.raises(ParameterInvalid) as refused:
        supply(desk, row, told)
    assert refused.value.param == param


def test_the_address_book_tells(desk: Desk) -> None:
    enact(desk, "eu")
    describe(desk, lei=LEI, town="Hong Kong", address="1 Harbour Road")
    with desk.database.begin() as connection:
        network_of(connection)
        entry = beneficiary.create(
            connection,
            identifier=new_id("ben"),
            account_id=desk.account,
            livemode=False,
            now=desk.now,
            details={"name": "Ann", "address": ACME, "networks": [NETWORK], "travel_rule": WALLET},
            vault=VAULT,
        )
    row = ask(desk, 900, beneficiary=entry.id)
    assert row.travel_rule == "complete"
    # Above the euro's thousand a self-hosted wallet's owner is shown, and a word is not enough.
    large = ask(desk, 2_000, beneficiary=entry.id)
    assert fields(desk, large) == ["beneficiary.ownership"]
    word = {"type": "declaration", "statement": "It is hers.", "signature": None}
    own(desk, entry.id, word)
    assert desk.read(large).travel_rule == "required"
    with desk.database.begin() as connection:
        connection.exec_driver_sql(
            'UPDATE beneficiaries SET ownership = \'{"type": "eip191"}\' WHERE id = %s', (entry.id,)
        )
        travel_rule.refresh(
            connection, VAULT, account_id=desk.account, livemode=False, now=desk.now, address=ACME
        )
    assert desk.read(large).travel_rule == "complete"
    assert record(desk, large).ownership == "eip191"


def network_of(connection: Any) -> None:
    network.put_network(
        connection,
        a_network(NETWORK, block_seconds=1, bloom="auto", created=BEGIN),
    )


def own(desk: Desk, identifier: str, proof: Mapping[str, Any]) -> None:
    with desk.database.begin() as connection:
        beneficiary.update(
            connection,
            identifier,
            {"ownership": proof},
            account_id=desk.account,
            livemode=False,
            now=desk.now,
        )
        travel_rule.refresh(
            connection, VAULT, account_id=desk.account, livemode=False, now=desk.now
        )


def known(desk: Desk, **details: Any) -> str:
    with desk.database.begin() as connection:
        found = vasp.create(
            connection,
            {"name": "Bob", **details},
            identifier=new_id("vasp"),
            livemode=False,
            now=desk.now,
        )
    return found.id


def opened_cases(desk: Desk) -> list[tuple[str, str]]:
    with desk.database.begin() as connection:
        return [tuple(row) for row in connection.execute(select(cases.c.subject, cases.c.reason))]


def test_an_institution_that_can_not_be_asked_is_a_case(desk: Desk) -> None:
    enact(desk)
    describe(desk)
    identifier = known(desk, addresses=[ACME])
    # The directory knows whose address it is, whatever is said of it.
    row = ask(desk, 5_000, WALLET)
    found = record(desk, row)
    assert (found.status, found.counterparty, found.vasp) == ("pending", "vasp", identifier)
    [(subject, reason)] = opened_cases(desk)
    assert subject == row.id
    assert "no travel address" in reason
    desk.decide()
    assert desk.read(row).status == "screened"
    with desk.database.begin() as connection:
        done = travel_rule.complete(
            connection, row.id, livemode=False, by="per_1", reason="By mail.", now=desk.now
        )
    assert (done.status, done.decided_by) == ("complete", "per_1")
    desk.decide()
    assert desk.read(row).status == "approved"
    with (
        desk.database.begin() as connection,
        pytest.raises(UnexpectedState, match="is complete"),
    ):
        travel_rule.refuse(
            connection, row.id, livemode=False, by="per_1", reason="No.", now=desk.now
        )


def test_an_institution_that_can_not_be_asked_where_that_is_no_matter(desk: Desk) -> None:
    enact(desk, unreachable="proceed")
    describe(desk)
    row = ask(desk, 5_000, HOSTED)
    assert row.travel_rule == "complete"
    assert opened_cases(desk) == []
    payload, _ = opened(VAULT, record(desk, row))
    assert payload.beneficiary_vasp is not None


def test_nothing_is_sent_to_a_blocked_institution(desk: Desk) -> None:
    enact(desk, unreachable="proceed")
    describe(desk)
    known(desk, lei=LEI, status="blocked")
    row = ask(desk, 5_000, {**WALLET, "wallet": "hosted", "vasp": {"lei": LEI}})
    assert row.travel_rule == "required"
    assert fields(desk, row) == ["beneficiary.vasp"]


def test_a_person_refuses_and_the_merchant_learns_no_reason(desk: Desk) -> None:
    enact(desk)
    row = ask(desk, 5_000, HOSTED)
    with desk.database.begin() as connection:
        travel_rule.refuse(
            connection, row.id, livemode=False, by="per_1", reason="A front.", now=desk.now
        )
    found = desk.read(row)
    assert (found.status, found.failure_code, found.travel_rule) == (
        "rejected",
        "declined",
        "refused",
    )
    assert desk.told(row) == ["payout.rejected"]
    names = told_types(desk, record(desk, row).id)
    assert names == ["travel_rule.required", "travel_rule.refused"]
    assert event_types.event_type("travel_rule.refused").audience == "operator"


def test_records_are_their_accounts_alone(desk: Desk) -> None:
    enact(desk)
    row = ask(desk, 5_000)
    with pytest.raises(ResourceMissing):
        supply(desk, row, WALLET, account=new_id("acct"))


def test_a_machine_that_can_not_seal_takes_nothing(desk: Desk) -> None:
    enact(desk)
    rows = desk.payouts([5_000])
    with desk.database.begin() as connection, pytest.raises(Misconfigured, match="vault key"):
        judge(connection, None, rows, {}, now=desk.now)


def test_refunds_are_looked_at_by_a_stage(desk: Desk) -> None:
    enact(desk)
    purpose = PayoutPurpose.refund.value
    waits = {"purpose": purpose, "travel_rule": "required"}
    [small] = desk.payouts([10], destination="0x" + "33" * 20, **waits)
    [large] = desk.payouts([5_000], **waits)
    stage = travel_rule_stage(desk.parts)
    assert stage.run() == 2
    assert stage.run() == 0
    assert desk.read(small).travel_rule == "not_required"
    assert desk.read(large).travel_rule == "required"
    assert record(desk, large).missing


def test_refunds_of_a_regime_that_is_gone_go_on(desk: Desk) -> None:
    row = desk.payouts([5_000], travel_rule="required")[0]
    assert travel_rule_stage(desk.parts).run() == 1
    assert desk.read(row).travel_rule == "not_required"


def test_an_ended_payout_ends_its_record(desk: Desk) -> None:
    enact(desk)
    row = ask(desk, 5_000)
    with desk.database.begin() as connection:
        update_records(connection, payouts.payouts, [{"id": row.id, "status": "canceled"}])
    stage = travel_rule_stage(desk.parts)
    assert (stage.run(), stage.run()) == (1, 0)
    assert record(desk, row).ended_at == desk.now
    with pytest.raises(UnexpectedState, match="nothing of it is to be told"):
        supply(desk, row, WALLET)


def test_data_is_forgotten_after_ten_years_unless_it_is_held(desk: Desk) -> None:
    enact(desk)
    kept, gone = ask(desk, 5_000, WALLET), ask(desk, 5_000, WALLET)
    with desk.database.begin() as connection:
        travel_rule.hold_data(connection, kept.id, livemode=False, legal_hold=True)
        assert store.forget(connection, before=desk.now, limit=10) == 0
        later = desk.now + RETENTION
        assert store.forget(connection, before=later, limit=10) == 1
        assert store.forget(connection, before=later, limit=10) == 0
    assert record(desk, gone).payload is None
    assert record(desk, kept).payload is not None
    assert opened(VAULT, record(desk, gone))[1] == {}


def test_rows_are_one_a_transfer(desk: Desk) -> None:
    enact(desk)
    row = ask(desk, 5_000)
    with desk.database.begin() as connection:
        found = fetch_all(connection, select(store.travel_rules), TravelRule)
    assert [each.subject for each in found] == [row.id]
    assert replace(found[0]).request_identifier.count("-") == 4
