"""One object of every kind, made as far as the API itself can make them."""

from base64 import b64encode
from dataclasses import replace
from uuid import uuid4

from sakk.core.case import CaseKind, Opening, Priority, opening_of
from sakk.core.case import Settings as CaseSettings
from sakk.core.freeze import Lift, LiftStatus
from sakk.core.label import Category
from sakk.core.name_screening import NameExemption
from sakk.core.network import Currency
from sakk.core.party import Hit
from sakk.core.payin import PayIn, PayInStatus
from sakk.core.quote import TransferCost
from sakk.core.regime import Requirement
from sakk.core.rule import (
    BUILT_IN,
    BUILT_IN_NAME,
    RulesState,
    RulesVersion,
    rules_digest,
    rules_document,
)
from sakk.core.rule import PREFIX as RULES_PREFIX
from sakk.core.screening import Direction, Reason, Screening, Side, Verdict
from sakk.core.travel_rule import TravelRule
from sakk.flow.case import open_cases
from sakk.flow.freeze import lift
from sakk.ledger.projection import catch_up
from sakk.store import rule as rule_store
from sakk.store.case import put_settings
from sakk.store.freeze import insert_lift
from sakk.store.identity import new_id, now
from sakk.store.name import insert_exemption
from sakk.store.network import list_assets, put_asset, put_currency
from sakk.store.party import put_hits
from sakk.store.payin import insert_seen
from sakk.store.quote import put_cost
from sakk.store.screening import find_screening, insert_screenings
from sakk.store.seed import seed_policy
from sakk.store.travel_rule import insert_many as insert_travel_rules
from tests.api import money_out
from tests.api.agent import objects_of_agents
from tests.api.banking import put_bank
from tests.api.checkout_objects import create_checkout_objects
from tests.api.closed_loop import create_closed_loop
from tests.api.closing import put_closing
from tests.api.mall import create_mall
from tests.api.ordering import put_order
from tests.api.paying import create_channel_objects, open_admin
from tests.api.settling import put_conversion, put_fees, put_settlement
from tests.api.vouchering import create_escrow_objects
from tests.api.world import ADDRESS as ADDRESS
from tests.api.world import NETWORK as NETWORK
from tests.api.world import USDC, Api
from tests.api.x402_objects import put_x402_payment
from tests.networks import a_token

Objects = dict[str, str]


def create_objects(api: Api) -> Objects:
    """Make them all for Alice; by the names of the paths' parameters."""
    objects = {
        "account": api.world.alice.account,
        "currency": "usdc",
        "rate": "usdc-usd",
        "network": NETWORK,
        "webhook_endpoint": _made(
            api,
            "/v1/webhook_endpoints",
            {"url": "http://127.0.0.1:9/hook", "enabled_events": ["*"]},
        ),
        "api_key": _made(api, "/v1/api_keys", {"kind": "restricted", "scopes": ["customers:read"]}),
        "customer": _made(api, "/v1/customers", {"name": "Carol"}),
        "payment_intent": _made(api, "/v1/payment_intents", {"amount": 2_500, "currency": "usd"}),
    }
    objects |= create_checkout_objects(api)
    _made(api, "/v1/receiving_addresses", {"network": NETWORK})
    put_x402_payment(api, api.world.alice.account)
    objects["ledger_account"], objects["ledger_transfer"] = _ledger(api)
    _made(api, "/v1/probes/fund", {"amount": 10_000_000})
    objects["beneficiary"] = _made(
        api,
        "/v1/beneficiaries",
        {"name": "Acme", "address": f"0x{uuid4().hex}b1b1b1b1", "networks": [NETWORK]},
    )
    objects["transfer"] = _made(
        api,
        "/v1/transfers",
        {"amount": 1_000_000, "currency": "usdc", "destination": api.world.operator.account},
    )
    objects["payout"] = _made(
        api,
        "/v1/payouts",
        {
            "amount": 1_000_000,
            "currency": "usdc",
            "destination": {"network": NETWORK, "address": ADDRESS},
        },
    )
    objects["payout_batch"] = _made(api, "/v1/payout_batches", money_out.batch_body())
    objects["refund"] = _made(
        api, "/v1/refunds", {"payment_intent": paid_intent(api), "amount": 100}
    )
    objects["chain_transaction"] = money_out.transaction(api, objects["payout"])
    objects["person"], _, _ = open_admin(api, "Ann")
    money_out.approve(api, objects["payout"])
    with api.database.begin() as connection:
        seed_policy(connection)
    objects |= {"policy": "active", "quote": _quote(api)}
    objects |= objects_of_agents(api)
    objects["liability_epoch"] = _made(api, "/v1/probes/liabilities", {})
    catch_up(api.database.url)
    objects["balance_transaction"] = _first(api, "/v1/balance_transactions")
    objects["event"] = _first(api, "/v1/events")
    objects["webhook_delivery"] = _first(
        api, f"/v1/webhook_endpoints/{objects['webhook_endpoint']}/deliveries"
    )
    objects |= _travel_rule(api, objects["payout"])
    objects |= _name(api, objects["person"])
    objects["freeze"] = _freeze(api, objects["person"])
    objects |= create_channel_objects(api) | create_escrow_objects(api)
    objects |= put_closing(api.database) | put_order(api.database)
    objects |= put_fees(api) | put_settlement(api) | create_closed_loop(api)
    objects |= create_mall(api)
    objects |= put_conversion(api) | put_bank(api)
    return objects | _of_compliance(api)


def _rules(api: Api) -> str:
    """A version of the screening rules that nobody approved: the house's own go on judging."""
    judged_by = BUILT_IN[BUILT_IN_NAME]
    with api.database.begin() as connection:
        base = rule_store.lock_change(connection, livemode=False)
        version = RulesVersion(
            id=new_id(RULES_PREFIX),
            livemode=False,
            number=rule_store.next_number(connection, livemode=False),
            state=RulesState.proposed.value,
            rules=rules_document(judged_by),
            digest=rules_digest(judged_by),
            note=None,
            base=base,
            proposed_by="per_1",
            decided_by=None,
            created=now(),
            in_force_from=None,
            in_force_to=None,
            closed_at=None,
        )
        rule_store.insert(connection, version)
    return version.id


def _party(api: Api) -> Objects:
    """A firm, who owns it, a paper of it, and a likeness that the lists had nothing to do with."""
    firm = _made(
        api, "/v1/parties", {"kind": "legal_entity", "details": {"legal_name": "Harbour Ltd"}}
    )
    owner = _made(api, "/v1/parties", {"kind": "individual", "details": {"full_name": "Ann"}})
    link = _made(
        api,
        f"/v1/parties/{firm}/links",
        {"party": owner, "relation": "owner", "share_ppm": 1_000_000},
    )
    paper: dict[str, object] = {
        "kind": "incorporation",
        "name": "certificate.pdf",
        "media_type": "application/pdf",
        "content": b64encode(b"%PDF-1.7").decode(),
    }
    document = _made(api, f"/v1/parties/{firm}/documents", paper)
    hit = Hit(
        id=new_id("phit"),
        party_id=firm,
        account_id=api.world.alice.account,
        livemode=False,
        revision=1,
        entity_id="ent_1",
        entry_version=1,
        list_name="ofac-sdn",
        list_version=1,
        name="Harbour Ltd",
        matched="HARBOUR LIMITED",
        score=950,
        evidence={},
        state="open",
        note=None,
        decided_by=None,
        decided_at=None,
        created=now(),
    )
    with api.database.begin() as connection:
        put_hits(connection, [hit])
    return {"party": firm, "link": link, "document": document, "hit": hit.id}


def _of_compliance(api: Api) -> Objects:
    """Whom and by what screening judges, what it finds, and what is made of it."""
    payin, screening = _payin(api)
    case, attachment = _case(api, screening)
    return {
        "information_request": _question(api),
        "payin": payin,
        "screening": screening,
        "rules": _rules(api),
        "recovery": money_out.recovery(api),
        "withdrawal": money_out.withdrawal(api),
        "case": case,
        "case_attachment": attachment,
        **_token(api),
        **_party(api),
    }


def _case(api: Api, screening: str) -> tuple[str, str]:
    """A case that one person works on alone, as in the sandbox, with a note and a file."""
    with api.database.begin() as connection:
        put_settings(connection, CaseSettings(False, True, None, "test", now()))
        found = find_screening(connection, screening)
        assert found is not None
        opened = open_cases(connection, [opening_of(found, CaseKind.payin)], now=now())
    [case] = opened.values()
    key = api.world.operator.key
    for path, body in (
        ("notes", {"text": "looked at"}),
        ("attachments", {"file": "aGk=", "name": "a.txt", "media_type": "text/plain"}),
    ):
        answer = api.call("POST", f"/v1/cases/{case}/{path}", key=key, json=body)
        assert answer.status_code == 200, answer.text
    return case, str(answer.json()["id"])


def _question(api: Api) -> str:
    """What Alice is asked, on a case of its own."""
    opening = Opening(
        subject=new_id("irq"),
        kind=CaseKind.address,
        account_id=api.world.alice.account,
        livemode=False,
        screening_id=None,
        reason="block: direct_sanctions (sanctions)",
        priority=Priority.low,
    )
    with api.database.begin() as connection:
        [case] = open_cases(connection, [opening], now=now()).values()
    answer = api.call(
        "POST",
        f"/v1/cases/{case}/information_requests",
        key=api.world.operator.key,
        json={"question": "What was it paid for?"},
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def _token(api: Api) -> Objects:
    """A token that is listed, and an address."""
    with api.database.begin() as connection:
        listed = list_assets(connection, network=NETWORK)
    return {"contract": next(each.contract for each in listed if each.contract), "address": ADDRESS}


def _travel_rule(api: Api, payout: str) -> Objects:
    """The record of a payout, and an institution; no regime is in force for the other tests."""
    none = {"regime": "none"}
    api.call("POST", "/v1/travel_rule/regime", key=api.world.operator.key, json=none)
    made = api.call("POST", "/v1/vasps", key=api.world.operator.key, json={"name": "Bob"})
    identifier = new_id("trv")
    row = TravelRule(
        id=identifier,
        account_id=api.world.alice.account,
        livemode=False,
        direction="outgoing",
        subject=payout,
        status="required",
        regime="eu",
        network=NETWORK,
        address=ADDRESS,
        currency="usdc",
        amount=1_000_000,
        counterparty="unknown",
        vasp=None,
        requirement=Requirement(True).document(),
        missing=[{"field": "beneficiary.name", "message": "Give it."}],
        ownership=None,
        exchange="none",
        request_identifier="1",
        token_hash=None,
        peer_callback=None,
        tx_hash=None,
        payload=None,
        deadline_at=None,
        completed_at=None,
        ended_at=None,
        decided_by=None,
        reason=None,
        legal_hold=False,
        created=now(),
    )
    with api.database.begin() as connection:
        insert_travel_rules(connection, [row])
    book: dict[str, object] = {
        "name": "Ann",
        "address": f"0x{uuid4().hex}c3c3c3c3",
        "networks": [NETWORK],
    }
    proved = f"/v1/beneficiaries/{_made(api, '/v1/beneficiaries', book)}/wallet_proofs"
    return {
        "travel_rule": identifier,
        "vasp": made.json()["id"],
        "wallet_proof": _made(api, proved, {}),
    }


def _name(api: Api, person: str) -> Objects:
    """A decision about a name, and a person's word: nobody is on a list here."""
    body = {"name": "Ivan Petrov", "subject": "a note"}
    made = api.call("POST", "/v1/screenings/names", key=api.world.operator.key, json=body)
    assert made.status_code == 200, made.text
    exemption = NameExemption(
        id=new_id("nex"),
        livemode=False,
        subject="a note",
        entity_id=new_id("ent"),
        entity_version=1,
        reason="another birth date",
        created_by=person,
        created=now(),
    )
    with api.database.begin() as connection:
        insert_exemption(connection, exemption)
    return {"name_screening": made.json()["id"], "exemption": exemption.id}


def _freeze(api: Api, person: str) -> str:
    """One that is over, with a lift that was rejected: it stops nothing in tests that follow."""
    body = {"reason": "drill", "account": api.world.bob.account}
    made = api.call("POST", "/v1/freeze", key=api.world.operator.key, json=body)
    assert made.status_code == 200, made.text
    frozen = str(made.json()["id"])
    rejected = Lift(
        id=new_id("frl"),
        freeze=frozen,
        livemode=False,
        status=LiftStatus.rejected.value,
        reason="too early",
        digest="00" * 32,
        approvals=[],
        proposed_by=person,
        decided_by=person,
        decided_at=now(),
        created=now(),
    )
    with api.database.begin() as connection:
        insert_lift(connection, rejected)
        lift(connection, frozen, reason="drill over", now=now())
    return frozen


def _quote(api: Api) -> str:
    """A quote: the network's own coin has a price, and the worker has looked at what gas costs."""
    moment = now()
    with api.database.begin() as connection:
        put_currency(connection, Currency("eth", "Ether", "coin", 18, 3_000, 1, moment))
        put_asset(
            connection,
            a_token(
                f"{NETWORK}/slip44:60",
                currency="eth",
                symbol="ETH",
                decimals=18,
                payin_enabled=False,
                payout_enabled=False,
                created=moment,
            ),
        )
        put_cost(
            connection,
            TransferCost(f"{NETWORK}/erc20:{USDC}", NETWORK, 65_000, 10**9, moment),
        )
    return _made(api, "/v1/quotes", {"network": NETWORK, "currency": "usdc"})


def _made(api: Api, path: str, body: dict[str, object]) -> str:
    answer = api.call("POST", path, json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def _ledger(api: Api) -> tuple[str, str]:
    """An account of the operator's own ledger, and a transfer to it."""
    first, second, transfer = (str(uuid4()) for _ in range(3))
    accounts = [
        {"id": each, "ledger": 700, "code": 1, "flags": ["history"]} for each in (first, second)
    ]
    move = {
        "id": transfer,
        "debit_account_id": first,
        "credit_account_id": second,
        "amount": 5,
        "ledger": 700,
        "code": 1,
    }
    for path, body in (("accounts", {"accounts": accounts}), ("transfers", move)):
        answer = api.call("POST", f"/v1/ledger/{path}", key=api.world.operator.key, json=body)
        assert answer.status_code == 200, answer.text
    return first, transfer


def _first(api: Api, path: str) -> str:
    answer = api.call("GET", path)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"][0]["id"])


def paid_intent(api: Api, cents: int = 2_500) -> str:
    """A payment intent of Alice's with a posted payin; her balance comes from elsewhere."""
    intent = _made(api, "/v1/payment_intents", {"amount": cents, "currency": "usd"})
    units = cents * 10_000
    posted = replace(
        _arrived(api),
        tx_hash="0x" + intent[-26:].encode().hex().rjust(64, "0"),
        token_amount=units,
        amount=units,
        credit_units=units,
        suspense_units=0,
        status=PayInStatus.posted.value,
        role="payment",
        counts=True,
        payment_intent=intent,
    )
    with api.database.begin() as connection:
        insert_seen(connection, [posted])
    return intent


def _arrived(api: Api) -> PayIn:
    """A transfer of 25 USDC to Alice: chains are not part of these tests."""
    return PayIn(
        id=new_id("pin"),
        account_id=api.world.alice.account,
        livemode=False,
        network=NETWORK,
        asset=f"{NETWORK}/erc20:{USDC}",
        contract=USDC,
        currency="usdc",
        decimals=6,
        token_amount=25_000_000,
        amount=25_000_000,
        address=ADDRESS,
        sender=ADDRESS,
        tx_hash="0x" + "ab" * 32,
        log_index=0,
        block_number=7,
        block_hash="0x" + "cd" * 32,
        block_timestamp=1_700_000_000,
        status=PayInStatus.held.value,
        reason="screening",
        created=now(),
    )


def _payin(api: Api) -> tuple[str, str]:
    """A held payin and its screening: lists are not part of these tests either."""
    payin = _arrived(api)
    moment, asset = payin.created, payin.asset
    screening = Screening(
        id=new_id("scr"),
        account_id=api.world.alice.account,
        livemode=False,
        subject=payin.id,
        network=NETWORK,
        asset=asset,
        direction=Direction.incoming,
        sender=ADDRESS,
        receiver=ADDRESS,
        token_units=25_000_000,
        verdict=Verdict.block,
        reasons=(
            Reason(
                verdict=Verdict.block,
                rule="direct_sanctions",
                side=Side.sender,
                address=ADDRESS,
                category=Category.sanctions,
                list="ofac",
                version=1,
                confidence=100,
                entity=None,
                path=(ADDRESS,),
            ),
        ),
        lists_version=1,
        rules_version="default-1",
        input_hash="00",
        created=moment,
    )
    with api.database.begin() as connection:
        insert_seen(connection, [payin])
        insert_screenings(connection, [screening])
    return payin.id, screening.id
