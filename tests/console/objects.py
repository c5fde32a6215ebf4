"""One object of Bob's for every parameter of the console's paths, by the parameter's name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sakk.core.fee import Fee, FeeKind, FeeRule, OnRefund, Tier
from sakk.core.payment_link import PaymentLink
from sakk.core.payout import Initiator, Payout
from sakk.core.policy import (
    Action,
    Amount,
    Period,
    PolicyVersion,
    Rule,
    rules_digest,
    rules_document,
)
from sakk.core.pos_device import PosDevice
from sakk.core.refund import Refund
from sakk.core.report import ReportForm, ReportKind, ReportParameters
from sakk.core.settlement import Settlement, SettlementTerms
from sakk.core.shop import Product, Shop
from sakk.core.sign_in import token_hash
from sakk.core.venue import VenueAccount
from sakk.flow import account as account_flow
from sakk.flow import api_key as api_keys
from sakk.flow import beneficiary as beneficiaries
from sakk.flow import fee as fee_flow
from sakk.flow import payment_link as payment_links
from sakk.flow import pos_device as pos_devices
from sakk.flow import report as reports
from sakk.flow import saved_view as saved_views
from sakk.flow import settlement as settlement_flow
from sakk.flow import shop as shops
from sakk.flow.payment import read_catalogue
from sakk.store import fee as fees
from sakk.store import payout as payouts
from sakk.store import policy as policies
from sakk.store import refund as refunds
from sakk.store import settlement as settlements
from sakk.store import sign_in as sign_ins
from sakk.store import venue as venues
from sakk.store.identity import new_id, now
from tests.api.closing import put_closing
from tests.api.ordering import put_order, put_rates
from tests.console.agents import agents_of
from tests.console.banking import put_lines
from tests.console.browser import ORIGIN
from tests.console.closed_loop import closed_loop_of
from tests.console.converting import conversions_of
from tests.console.desk import make_desk
from tests.console.office import Office
from tests.console.platform import platform_of
from tests.console.risk import (
    case_of,
    exemption_of,
    name_of,
    outgoing,
    party_of,
    question_of,
    vasp_of,
)
from tests.flow import policing
from tests.flow.policing import ASSET, NETWORK
from tests.flow.test_approval_batch import batch_of

HOSTILE = "<script>alert(1)</script>\u202e=1+1"
ADDRESS = "0x" + "5b" * 20


def payout_of(office: Office, account: str, **changes: object) -> Payout:
    """A payout of a quarter of a million and one cent, which waits for people."""
    made = Payout(
        id=new_id("po"),
        account_id=account,
        livemode=False,
        amount=250_000_010_000,
        fee=120_000,
        currency="usdc",
        decimals=6,
        network=NETWORK,
        asset=ASSET,
        token_amount=250_000_010_000,
        destination=ADDRESS,
        fee_mode="sender",
        status="screened",
        hold="held",
        waits_for="the sender's coins do not cover it yet",
        decided_at=datetime(2026, 5, 4, tzinfo=UTC),
        description=HOSTILE,
        metadata={},
        created=datetime(2026, 5, 4, tzinfo=UTC),
    )
    made = replace(made, **changes)  # type: ignore[arg-type]
    with office.parts.database.begin() as connection:
        assert payouts.insert(connection, made)
    return made


def selling(office: Office, account: str) -> dict[str, str]:
    """A payment link, a session under it and a till of an account; a network is followed."""
    ids = {"link": new_id("plink"), "session": new_id("cs"), "till": new_id("pos")}
    blank = {"account_id": account, "livemode": False, "currency": "usdc", "metadata": {}}
    bounds = ("amount_min", "amount_max", "amount_preset", "uses_max")
    texts = ("networks", "currencies", "success_url", "message", "inactive_message")
    nothing = dict.fromkeys((*bounds, *texts))
    with office.parts.database.begin() as connection:
        catalogue = read_catalogue(connection)
        link = payment_links.create(
            connection,
            catalogue,
            office.parts.secrets_vault(),
            PaymentLink(
                id=ids["link"],
                token_hash="",
                active=True,
                decimals=0,
                lines=[{"name": HOSTILE, "amount": 1_250_000, "quantity": 1}],
                amount=1_250_000,
                uses=0,
                created=now(),
                **blank,  # type: ignore[arg-type]
                **nothing,  # type: ignore[arg-type]
            ),
            public_url=ORIGIN,
            now=now(),
        )
        payment_links.begin(
            connection,
            catalogue,
            office.parts.secrets_vault(),
            link.token_hash,
            None,
            identifier=ids["session"],
            intent_id=new_id("pi"),
            locale=None,
            now=now(),
        )
        unpaired = dict.fromkeys(
            ("networks", "currencies", "pairing_hash", "pairing_until", "token_hash", "paired_at")
        )
        pos_devices.create(
            connection,
            catalogue,
            PosDevice(
                id=ids["till"],
                name=HOSTILE,
                active=True,
                decimals=0,
                created=now(),
                **blank,  # type: ignore[arg-type]
                **unpaired,  # type: ignore[arg-type]
            ),
            now=now(),
        )
    return ids | shops_of(office, account)


def shops_of(office: Office, account: str) -> dict[str, str]:
    """A shop of an account with one product, which waits for the operator."""
    ids = {"shop": new_id("shop"), "product": new_id("prod")}
    whose = {"account_id": account, "livemode": False, "metadata": {}, "created": now()}
    with office.parts.database.begin() as connection:
        shops.create(
            connection,
            Shop(
                id=ids["shop"],
                handle=ids["shop"][-12:],
                name=HOSTILE,
                description=HOSTILE,
                category="food",
                currency="usdc",
                decimals=0,
                is_open=True,
                is_indexed=False,
                review="pending",
                review_note=None,
                reviewed_by=None,
                **whose,  # type: ignore[arg-type]
            ),
            public_url=ORIGIN,
        )
        shops.add_product(
            connection,
            Product(
                id=ids["product"],
                shop=ids["shop"],
                name=HOSTILE,
                description=HOSTILE,
                tax_text=HOSTILE,
                price=1,
                currency="",
                decimals=0,
                stock=None,
                picture=None,
                picture_hash=None,
                active=True,
                **whose,  # type: ignore[arg-type]
            ),
            None,
            public_url=ORIGIN,
        )
    return ids


def under_review(office: Office, account: str) -> Payout:
    """A payout that screening stopped."""
    return payout_of(
        office, account, status="requested", under_review=True, decided_at=None, waits_for=None
    )


def refund_of(office: Office, account: str, **changes: Any) -> str:
    """A refund of twelve and a half that waits for its payer."""
    made = Refund(
        **{
            "id": new_id("re"),
            "account_id": account,
            "livemode": False,
            "payment_intent": new_id("pi"),
            "payin": None,
            "source": "balance",
            "amount": 12_500_000,
            "currency": "usdc",
            "decimals": 6,
            "coin": "usdc",
            "coin_amount": 12_500_000,
            "coin_decimals": 6,
            "fee": None,
            "status": "requires_action",
            "hold": "held",
            "description": HOSTILE,
            "metadata": {},
            "claim_hash": new_id("hash"),
            "claim_expires_at": now(),
            "created": now(),
            **changes,
        }
    )
    with office.parts.database.begin() as connection:
        refunds.insert(connection, made)
    return made.id


def policy_of(office: Office, *, proposed_by: str | None = None) -> str:
    """A version that was proposed: small payouts go, all others wait for two people."""
    written = (
        Rule(name="small <b>", action=Action.allow, amount=Amount(up_to="500", unit="whole")),
        Rule(
            name="the rest",
            action=Action.approve,
            approvals=2,
            role="finance",
            period=Period(seconds=86_400, per="account", above="1000", unit="whole"),
            networks=(NETWORK,),
        ),
    )
    with office.parts.database.begin() as connection:
        active = policies.find_active(connection, livemode=False)
        made = PolicyVersion(
            id=new_id("pol"),
            livemode=False,
            number=policies.next_number(connection, livemode=False),
            state="proposed",
            rules=rules_document(written),
            digest=rules_digest(written),
            note=HOSTILE,
            base=None if active is None else active.number,
            proposed_by=proposed_by or office.person("admin").id,
            decided_by=None,
            created=now(),
            activated_at=None,
            closed_at=None,
        )
        policies.insert(connection, made)
    return made.id


def report_of(office: Office, account: str) -> str:
    """What an account asked for, and nobody writes."""
    moment = now()
    with office.parts.database.begin() as connection:
        made = reports.create(
            connection,
            ReportKind.volumes,
            ReportForm.csv,
            ReportParameters(start=moment - timedelta(days=1), end=moment - timedelta(hours=1)),
            identifier=new_id("rpt"),
            account_id=account,
            livemode=False,
            is_operator=False,
            requested_by=None,
            metadata={},
            now=moment,
        )
    return made.id


def settlement_of(office: Office, account: str, **changes: Any) -> str:
    """A period of no lines that brought twelve and a half, of an account with a schedule."""
    with office.parts.database.begin() as connection:
        settlement_flow.put_schedule(
            connection,
            SettlementTerms(minimum={"usdc": 1_000_000}, reserve_ppm=50_000, reserve_days=30),
            identifier=new_id("ssch"),
            account_id=account,
            livemode=False,
            held=False,
            now=now(),
            initiator=Initiator(),
        )
        schedule = settlements.find_schedule(connection, account_id=account, livemode=False)
        assert schedule is not None
        blank = dict.fromkeys(("credits", "debits", "fees", "owed", "opening", "lines"), 0)
        made = Settlement(
            **{
                **blank,
                "id": new_id("set"),
                "account_id": account,
                "livemode": False,
                "number": schedule.next_number,
                "currency": "usdc",
                "decimals": 6,
                "status": "kept",
                "from_ns": 0,
                "to_ns": 1,
                "period_end": now(),
                "first_line": 1,
                "closing": 12_500_000,
                "received": 12_500_000,
                "payable": 11_875_000,
                "reserved": 625_000,
                "terms": schedule.terms,
                "pay_at": now(),
                "metadata": {},
                "created": now(),
                **changes,
            }
        )
        settlements.insert(connection, made)
        settlements.put_schedule(
            connection, replace(schedule, next_number=schedule.next_number + 1)
        )
    return made.id


def fee_schedule_of(office: Office, account: str) -> str:
    """A schedule that prices an account, and a fee that it was charged."""
    with office.parts.database.begin() as connection:
        schedule = fee_flow.create_schedule(
            connection,
            identifier=new_id("fsch"),
            name=HOSTILE,
            written=[
                FeeRule(
                    kind=FeeKind.payin,
                    currency="usdc",
                    percent_ppm=10_000,
                    fixed=100_000,
                    tiers=(Tier(50_000_000_000, 6_000),),
                    on_refund=OnRefund.returned,
                ),
                FeeRule(percent_ppm=5_000),
            ],
            effective_at=None,
            metadata={},
            by=None,
            now=now(),
        )
        account_flow.update(
            connection,
            account,
            {"fee_schedule": schedule.id},
            livemode=False,
            by_operator=True,
            now=now(),
        )
        fees.insert_fees(
            connection,
            [
                Fee(
                    new_id("fee"),
                    account,
                    False,
                    "payin",
                    "charged",
                    new_id("pin"),
                    "usdc",
                    6,
                    25_000_000,
                    350_000,
                    schedule.id,
                    1,
                    1,
                    [{"label": "percent_10000ppm", "amount": 250_000}],
                    now(),
                )
            ],
        )
    return schedule.id


def venue_of(office: Office) -> str:
    """The operator's own account at an exchange."""
    made = VenueAccount(
        name="kraken_main",
        kind="kraken",
        livemode=False,
        location="https://exchange.example",
        key="a-key",
        secret=b"sealed",
        pairs={"usdt-usd": "USDTZUSD"},
        fee_ppm=2_000,
        enabled=True,
        created=now(),
        updated=now(),
    )
    with office.parts.database.begin() as connection:
        venues.put(connection, made)
    return made.name


def beneficiary_of(office: Office, account: str) -> str:
    """An entry of the address book."""
    with office.parts.database.begin() as connection:
        return beneficiaries.create(
            connection,
            identifier=new_id("ben"),
            account_id=account,
            livemode=False,
            now=now(),
            details={"name": HOSTILE, "address": ADDRESS, "networks": [NETWORK]},
        ).id


def objects(office: Office) -> dict[str, str]:
    """What somebody who stands in Alice's account must not meet."""
    person = office.person(bob=["owner"])
    browser = office.browser(person)
    with office.parts.database.read() as connection:
        signed_in = sign_ins.by_token(connection, token_hash(browser.cookies["sakk"]))
    assert signed_in is not None
    desk = make_desk(replace(office, alice=office.bob))
    with office.parts.database.begin() as connection:
        key, _ = api_keys.create(
            connection, key_id=new_id("key"), account_id=office.bob, livemode=False, now=now()
        )
        view = saved_views.save(
            connection,
            person=person.id,
            screen="/console/payments",
            name="Late ones",
            query="q=late",
            now=now(),
        )
    agents = agents_of(office, office.bob)
    sent = outgoing(office, payout_of(office, office.bob))
    case = case_of(office, under_review(office, office.bob))
    return {
        "sign_in": signed_in.id,
        "person": person.id,
        "account": office.bob,
        "payment": desk.paid,
        "payin": desk.payin,
        "customer": desk.customer,
        "endpoint": desk.endpoint,
        "delivery": desk.delivery,
        "event": desk.event,
        "key": key.id,
        "view": view.id,
        "passkey": "pky_of_bob",
        "payout": payout_of(office, office.bob).id,
        "batch": batch_of(policing.Desk(office.parts.database, office.bob), [7]),
        "refund": refund_of(office, office.bob),
        "beneficiary": beneficiary_of(office, office.bob),
        **selling(office, office.bob),
        **closed_loop_of(office, office.bob, office.operator),
        **platform_of(office, office.bob),
        "case": case,
        "question": question_of(office, case),
        "attachment": "catt_of_bob",
        **{"transaction": sent.transaction, "withdrawal": sent.withdrawal},
        "freeze": sent.freeze,
        "travel_rule": sent.travel_rule,
        "rules_version": "in_force",
        "name_screening": name_of(office, office.bob),
        "exemption": exemption_of(office),
        "vasp": vasp_of(office),
        **party_of(office, office.bob),
        "mandate": agents.mandate,
        "channel": agents.channel,
        "refill": agents.refill,
        "network": NETWORK,
        "policy": policy_of(office),
        "settlement": settlement_of(office, office.bob),
        "report": report_of(office, office.bob),
        "fee_schedule": fee_schedule_of(office, office.bob),
        **put_closing(office.parts.database),
        **conversions_of(office, office.bob),
        **put_order(office.parts.database),
        **put_lines(office.parts.database, office.bob),
        "source": put_rates(office.parts.database),
        "currency": "usdt",
        "venue": venue_of(office),
    }
