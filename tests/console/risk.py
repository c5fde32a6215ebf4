"""What officers look at: a case with its verdict, names that are alike, and files."""

from dataclasses import dataclass
from datetime import timedelta

from sakk.core.breach import Breach
from sakk.core.case import CaseKind, opening_of
from sakk.core.exposure import Exposure, Part, Way
from sakk.core.freeze import FreezeOrigin
from sakk.core.label import Category
from sakk.core.name import Pair
from sakk.core.name_screening import Evidence, NameExemption, NameHit, NameQuery, NameScreening
from sakk.core.ownership import Relation
from sakk.core.party import Hit
from sakk.core.payout import Payout
from sakk.core.person import Actor
from sakk.core.regime import Requirement
from sakk.core.screening import (
    Direction,
    Facts,
    Reason,
    Screening,
    ScreeningRequest,
    Side,
    Verdict,
    inputs_of,
)
from sakk.core.sweep import Sweep
from sakk.core.transaction import ChainTransaction, TransactionStatus
from sakk.core.travel_rule import TravelRule
from sakk.core.withdrawal import Withdrawal
from sakk.flow import information_request as questions
from sakk.flow import party as party_flow
from sakk.flow import vasp as vasps
from sakk.flow.case import open_cases
from sakk.flow.freeze import FreezeOrder, freeze
from sakk.flow.party import Whose
from sakk.store import party as parties
from sakk.store.breach import insert_new as insert_breaches
from sakk.store.identity import new_id, now
from sakk.store.name import insert_exemption, insert_name_screenings
from sakk.store.screening import insert_screenings
from sakk.store.sweep import insert as insert_sweeps
from sakk.store.transaction import insert as insert_transaction
from sakk.store.travel_rule import insert_many as insert_travel_rules
from sakk.store.withdrawal import insert as insert_withdrawal
from tests.console.desk import HOSTILE
from tests.console.office import Office
from tests.flow.policing import ASSET, NETWORK

PDF = b"%PDF-1.7\nwhat the merchant sent"


def verdict_of(payout: Payout) -> Screening:
    """A mixer stands two transfers behind the receiver, and half of its money is of it."""
    exposure = Exposure(
        network=NETWORK,
        asset=ASSET,
        address=payout.destination,
        direction=Way.destination,
        total_units=3_000_000,
        parts=(Part("mixer", 1_500_000, 500_000),),
        unknown_units=1_500_000,
        height=7,
    )
    reason = Reason(
        verdict=Verdict.review,
        rule="exposed_to_mixer",
        side=Side.receiver,
        address=payout.destination,
        category=Category.mixer,
        list="mixers",
        version=4,
        confidence=90,
        entity=HOSTILE,
        path=(payout.destination, "0x" + "77" * 20),
        share_ppm=500_001,
        units=1_500_000,
    )
    request = ScreeningRequest(
        subject=payout.id,
        account_id=payout.account_id,
        livemode=False,
        network=NETWORK,
        asset=ASSET,
        direction=Direction.outgoing,
        sender="0x" + "11" * 20,
        receiver=payout.destination,
        token_units=payout.token_amount,
    )
    return Screening(
        id=new_id("scr"),
        account_id=payout.account_id,
        livemode=False,
        subject=payout.id,
        network=NETWORK,
        asset=ASSET,
        direction=Direction.outgoing,
        sender=request.sender,
        receiver=request.receiver,
        token_units=payout.token_amount,
        verdict=Verdict.review,
        reasons=(reason,),
        lists_version=4,
        rules_version="default-1",
        input_hash="00",
        created=now(),
        inputs=inputs_of(request, Facts(exposure=exposure, asked=("exposure",))),
    )


def alike(subject: str, account: str) -> NameScreening:
    """A name like one on a list."""
    hit = NameHit(
        entity_id="ent_1",
        list_name="ofac",
        list_kind="sanctions",
        list_version=3,
        ref="OFAC-1",
        entity_version=3,
        kind="person",
        name="Ivan Petrovich SIDOROV",
        matched="Ivan SIDOROV",
        quality="strong",
        score=874,
        name_score=914,
        pairs=(Pair("ivan", "ivan", 1_000), Pair("sidorow", "sidorov", 860)),
        query_left=("jr",),
        listed_left=("petrovich",),
        evidence=(Evidence("countries differ", -40),),
    )
    return NameScreening(
        id=new_id("nsc"),
        account_id=account,
        livemode=False,
        subject=subject,
        query=NameQuery("Ivan Sidorow"),
        verdict=Verdict.review,
        hits=(hit,),
        lists_version=3,
        rules_version="default-1",
        matcher="names-1",
        input_hash="00",
        created=now(),
    )


def case_of(office: Office, payout: Payout) -> str:
    """The case of a payout, which was opened by a verdict."""
    verdict = verdict_of(payout)
    with office.parts.database.begin() as connection:
        insert_screenings(connection, [verdict])
        insert_name_screenings(connection, [alike(payout.id, payout.account_id)])
        ids = open_cases(connection, [opening_of(verdict, CaseKind.payout)], now=now())
    return ids[payout.id]


def name_of(office: Office, account: str) -> str:
    """A name that is like one on a list."""
    row = alike("an enquiry", account)
    with office.parts.database.begin() as connection:
        insert_name_screenings(connection, [row])
    return row.id


def exemption_of(office: Office) -> str:
    """A name that is somebody else's than the list's."""
    row = NameExemption(
        id=new_id("nex"),
        livemode=False,
        subject=f"an enquiry of {new_id('note')}",
        entity_id="ent_1",
        entity_version=3,
        reason=HOSTILE,
        created_by=office.person("compliance").id,
        created=now(),
    )
    with office.parts.database.begin() as connection:
        insert_exemption(connection, row)
    return row.id


def party_of(office: Office, account: str) -> dict[str, str]:
    """A company that waits for a decision, with an owner, a document and an open likeness."""
    officer = Actor("sgn_of_the_officer", office.person("compliance").id)
    whose = Whose(account_id=account, livemode=False, actor=officer)
    ids = {"party": new_id("pty"), "document": new_id("pdoc"), "owner": new_id("pty")}
    known = {
        "legal_entity": {"legal_name": HOSTILE.replace("\u202e", ""), "trading_names": ["Quay"]},
        "individual": {"full_name": "Mei Example", "birth_date": "1984-02-01"},
    }
    papers = dict.fromkeys(("country", "issued_on", "expires_on"))
    with office.parts.database.begin() as connection:
        for name, kind in (("party", "legal_entity"), ("owner", "individual")):
            party_flow.create(
                connection,
                whose,
                identifier=ids[name],
                account_id=account,
                kind=kind,
                details=known[kind],
                role=None,
                customer_id=None,
                metadata=None,
                now=now(),
            )
        party_flow.add_link(
            connection,
            whose,
            ids["party"],
            identifier=new_id("plnk"),
            party_id=ids["owner"],
            relation=Relation.owner,
            share_ppm=625_000,
            title=HOSTILE,
            now=now(),
        )
        party_flow.add_document(
            office.parts,
            connection,
            whose,
            ids["party"],
            document_id=ids["document"],
            content=PDF,
            described={
                "kind": "incorporation",
                "name": HOSTILE,
                "media_type": "application/pdf",
                **papers,
            },
            now=now(),
        )
        parties.put_hits(connection, [likeness(ids["party"], account)])
        values = {"status": "submitted", "open_hits": 1, "screened_revision": 1, "lists_version": 3}
        parties.change(connection, ids["party"], values)
    return {"party": ids["party"], "document": ids["document"]}


def likeness(party: str, account: str) -> Hit:
    """A name of a party that is like one on a list."""
    return Hit(
        id=new_id("phit"),
        party_id=party,
        account_id=account,
        livemode=False,
        revision=1,
        entity_id="ent_quay",
        entry_version=3,
        list_name="ofac",
        list_version=3,
        name="Quay",
        matched="QUAY IMPORT",
        score=874,
        evidence={
            "entry": HOSTILE,
            "ref": "OFAC-1",
            "list_kind": "sanctions",
            "pairs": [{"query": "quay", "listed": "quay", "likeness": 1000}],
            "evidence": [{"what": "no country in common", "points": -40}],
        },
        state="open",
        note=None,
        decided_by=None,
        decided_at=None,
        created=now(),
    )


def vasp_of(office: Office) -> str:
    """An institution with one address."""
    details = {"name": HOSTILE, "country": "CH", "addresses": ["0x" + "77" * 20]}
    with office.parts.database.begin() as connection:
        return vasps.create(
            connection, details, identifier=new_id("vasp"), livemode=False, now=now()
        ).id


def question_of(office: Office, case: str) -> str:
    """What the account of a case is asked."""
    officer = Actor("sgn_of_the_officer", office.person("compliance").id)
    return questions.ask(
        office.parts,
        case,
        f"What is it paid for? {HOSTILE}".replace("\u202e", ""),
        due_at=None,
        actor=officer,
        livemode=False,
        request_id=new_id("irq"),
    ).request.id


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The ids of what went out, was stopped, and is told to others."""

    transaction: str
    sweep: str
    withdrawal: str
    freeze: str
    travel_rule: str
    breach: str


def outgoing(office: Office, payout: Payout) -> Outgoing:
    """A transaction that hangs, a sweep, a withdrawal, a freeze of an account, a record and a
    breach."""
    ids = Outgoing(*(new_id(each) for each in ("tx", "sw", "wd", "frz", "trv", "brc")))
    place = {"livemode": False, "network": NETWORK, "asset": ASSET, "created": now()}
    other = "0x" + "77" * 20
    with office.parts.database.begin() as connection:
        insert_transaction(connection, _transaction(ids.transaction, payout))
        swept = Sweep(
            **place,  # type: ignore[arg-type]
            id=ids.sweep,
            address=other,
            key_index=1,
            destination=payout.destination,
            token_amount=1_250_000,
            status="requested",
            waits_for=HOSTILE,
        )
        insert_sweeps(connection, [swept])
        withdrawn = Withdrawal(
            **place,  # type: ignore[arg-type]
            id=ids.withdrawal,
            destination=other,
            token_amount=1_250_000,
            currency=payout.currency,
            decimals=6,
            amount=1_250_000,
            status="approved",
            waits_for=f"{other} is frozen: {HOSTILE}",
        )
        insert_withdrawal(connection, withdrawn)
        order = FreezeOrder(reason=HOSTILE, account_id=payout.account_id)
        freeze(connection, order, identifier=ids.freeze, origin=FreezeOrigin.defence, now=now())
        insert_travel_rules(connection, [_record(ids.travel_rule, payout)])
        breach = Breach(
            **place,  # type: ignore[arg-type]
            id=ids.breach,
            kind="transfer",
            place="deposit",
            address=other,
            other=payout.destination,
            units=7,
            tx_hash="0x" + ids.breach[-26:].encode().hex(),
            position=0,
            block_number=1,
            block_hash="0x1",
            freeze=ids.freeze,
        )
        insert_breaches(connection, [breach])
    return ids


def _transaction(identifier: str, payout: Payout) -> ChainTransaction:
    return ChainTransaction(
        id=identifier,
        livemode=False,
        network=NETWORK,
        purpose="payout",
        subject=payout.id,
        account_id=payout.account_id,
        sender="0x" + "11" * 20,
        key_branch="treasury",
        key_index=0,
        nonce=int(identifier[-6:], 36),
        asset=ASSET,
        destination=payout.destination,
        token_amount=payout.token_amount,
        gas_limit=80_000,
        max_fee_per_gas=2,
        max_priority_fee_per_gas=1,
        unsigned=b"",
        since_block=1,
        raw=b"",
        hash="0x" + identifier[-26:].encode().hex(),
        status=TransactionStatus.broadcast.value,
        broadcast_at=now(),
        error=HOSTILE,
        created=now(),
    )


def _record(identifier: str, payout: Payout) -> TravelRule:
    nothing = dict.fromkeys(
        (
            "vasp",
            "ownership",
            "token_hash",
            "peer_callback",
            "tx_hash",
            "payload",
            "completed_at",
            "ended_at",
            "decided_by",
            "reason",
        )
    )
    return TravelRule(
        id=identifier,
        account_id=payout.account_id,
        livemode=False,
        direction="outgoing",
        subject=payout.id,
        status="required",
        regime="eu",
        network=NETWORK,
        address=payout.destination,
        currency="usdc",
        amount=payout.amount,
        counterparty="unknown",
        requirement=Requirement(True).document(),
        missing=[{"field": "beneficiary.name", "message": HOSTILE}],
        exchange="none",
        request_identifier=identifier,
        deadline_at=now() - timedelta(hours=1),
        legal_hold=False,
        created=now(),
        **nothing,
    )
