"""What officers look at: a case with its verdict, names that are alike, and files."""

from sakk.core.case import CaseKind, opening_of
from sakk.core.exposure import Exposure, Part, Way
from sakk.core.label import Category
from sakk.core.name import Pair
from sakk.core.name_screening import Evidence, NameHit, NameQuery, NameScreening
from sakk.core.payout import Payout
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
from sakk.flow.case import open_cases
from sakk.store.identity import new_id, now
from sakk.store.name import insert_name_screenings
from sakk.store.screening import insert_screenings
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
        rule="exposure_mixer",
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
