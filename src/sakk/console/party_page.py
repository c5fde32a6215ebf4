"""One party as its page shows it: who it is, what is missing, what speaks against it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection

from sakk.console.name_screening import said_in
from sakk.console.party_fields import field_of
from sakk.console.visit import Page, Rejected, Visit
from sakk.core import party as rules
from sakk.core.errors import InvalidRequest, UnexpectedState
from sakk.core.ownership import Ownership, Relation
from sakk.core.party import HitState, Party, PartyStatus, Rating
from sakk.core.profile import DocumentKind, PartyKind, load_details
from sakk.flow import due_diligence
from sakk.flow import party as flow
from sakk.flow.party import Whose
from sakk.pages.language import mark
from sakk.store import account as accounts
from sakk.store import party as store
from sakk.store import person as persons
from sakk.store.page import PageRequest

ACTS_SHOWN: Final = 200
REVISIONS_SHOWN: Final = 50
# So many of an account's parties may be chosen from, the newest.
OTHERS_SHOWN_MAX: Final = 100
PPM_PER_PERCENT: Final = 10_000
STATUSES: Mapping[str, tuple[str, str]] = {
    PartyStatus.draft: (mark("Draft"), "plain"),
    PartyStatus.submitted: (mark("Waits for a decision"), "warn"),
    PartyStatus.approved: (mark("Accepted"), "good"),
    PartyStatus.rejected: (mark("Not accepted"), "bad"),
    PartyStatus.suspended: (mark("Suspended"), "bad"),
}
STATES: Mapping[str, str] = {
    PartyStatus.draft: mark("It is being written, and can be handed in when nothing is missing."),
    PartyStatus.submitted: mark("It is complete. Its names are compared with the lists."),
    PartyStatus.approved: mark("It is dealt with until its next review."),
    PartyStatus.rejected: mark("It may be corrected and handed in again."),
    PartyStatus.suspended: mark("It was accepted once. Two people accept it again."),
}
KINDS: Mapping[str, str] = {
    PartyKind.legal_entity: mark("A company"),
    PartyKind.individual: mark("A person"),
}
ROLES: Mapping[str, str] = {
    "account": mark("The account itself"),
    "customer": mark("A customer"),
    "related": mark("Somebody who owns or directs"),
}
RATINGS: Mapping[str, tuple[str, str]] = {
    Rating.low: (mark("Low risk"), "good"),
    Rating.medium: (mark("Medium risk"), "plain"),
    Rating.high: (mark("High risk"), "warn"),
}
RELATIONS: Mapping[str, str] = {
    Relation.owner: mark("Owns a share of it"),
    Relation.controller: mark("Controls it"),
    Relation.director: mark("Director"),
    Relation.signatory: mark("Signs for it"),
}
DOCUMENTS: Mapping[str, str] = {
    DocumentKind.incorporation: mark("Certificate of incorporation"),
    DocumentKind.register_extract: mark("Extract of the register"),
    DocumentKind.articles: mark("Articles"),
    DocumentKind.ownership_chart: mark("Chart of owners"),
    DocumentKind.proof_of_address: mark("Proof of address"),
    DocumentKind.passport: mark("Passport"),
    DocumentKind.national_id: mark("Identity card"),
    DocumentKind.residence_permit: mark("Residence permit"),
    DocumentKind.driving_licence: mark("Driving licence"),
    DocumentKind.source_of_funds: mark("Source of funds"),
    DocumentKind.licence: mark("Licence"),
    DocumentKind.other: mark("Something else"),
}
HITS: Mapping[str, tuple[str, str]] = {
    HitState.open: (mark("Nobody decided"), "warn"),
    HitState.false_positive: (mark("Somebody else"), "good"),
    HitState.true_match: (mark("It is them"), "bad"),
}
ACTS: Mapping[str, str] = {
    "created": mark("Written down"),
    "updated": mark("What is known was changed"),
    "submitted": mark("Handed in"),
    "linked": mark("Somebody was linked"),
    "unlinked": mark("A link was removed"),
    "documented": mark("A document was added"),
    "undocumented": mark("A document was taken away"),
    "screened": mark("Names were compared with the lists"),
    "review_due": mark("Its review fell due"),
    "rated": mark("Risk rated"),
    "hit_decided": mark("A likeness was decided"),
    "approved_once": mark("The first of two people accepted it"),
    "approved": mark("Accepted"),
    "rejected": mark("Not accepted"),
    "suspended": mark("Suspended"),
}
# What is missing before it can be handed in, as the rules name it.
MISSING: Mapping[str, str] = {
    "details[registration]": mark("The number and the country of its registration"),
    "details[registered_address]": mark("Its registered address"),
    "details[incorporated_on]": mark("The day of its incorporation"),
    "details[birth_date]": mark("The date of birth"),
    "details[nationalities]": mark("The nationality"),
    "details[address]": mark("The address"),
    "a document of kind incorporation or register_extract": mark(
        "A certificate of incorporation, or an extract of the register"
    ),
    "a document of identity that has not expired": mark(
        "A document of identity that has not expired"
    ),
}
_OWNERS: Final = "links: owners of the remaining "


def whose(visit: Visit) -> Whose:
    """Whose parties are looked at, and who acts."""
    return Whose(
        account_id=visit.account_id,
        livemode=visit.livemode,
        actor=visit.actor,
        request_id=visit.request_id,
    )


def may_decide(visit: Visit) -> bool:
    """May they decide on parties?"""
    is_decider = not due_diligence.DECIDERS.isdisjoint(visit.person.powers)
    return visit.may("parties", "write") and is_decider


def faults_of(rejected: Rejected | None) -> dict[str, str]:
    """What was wrong, by the form's fields."""
    found = {} if rejected is None else rejected.faults
    return {field_of(name): text for name, text in found.items()}


def detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    """The page of one party."""
    with visit.database.read() as connection:
        party = flow.find(connection, whose(visit), identifier)
        links = store.links_of_account(connection, party.account_id, livemode=party.livemode)
        linked = {each for link in links for each in (link.of_party, link.party_id)}
        named = {each.id: each for each in store.find_parties(connection, linked)}
        documents = store.documents_of(connection, party.id)
        hits = store.hits_of(connection, party.id)
        acts = store.acts_of(connection, party.id, limit=ACTS_SHOWN)
        revisions = store.revisions_of(connection, party.id, limit=REVISIONS_SHOWN)
        people = [each["actor"] for each in acts] + [each["changed_by"] for each in revisions]
        people += [each.decided_by for each in hits if each.decided_by]
        people += [party.approval["by"]] if party.approval else []
        names = persons.names(connection, people)
        account = accounts.find_account(connection, party.account_id)
        owned = _owned(connection, party)
        others = _others(connection, party)
        digest = flow.digest_of(connection, party)
    is_reviewed = party.status == PartyStatus.approved and party.review_at is not None
    values = {
        "party": party,
        "account": party.account_id if account is None else account.name or account.id,
        "state": STATES[party.status],
        "lacks": list(_lacking(visit, party, documents, owned)),
        "up": [(each, named[each.party_id]) for each in links if each.of_party == party.id],
        "down": [(each, named[each.of_party]) for each in links if each.party_id == party.id],
        "owned": [] if owned is None else _lines(owned, named),
        "unattributed": None if owned is None else percent(owned.unattributed_ppm),
        "documents": documents,
        "expired": {each.id for each in documents if rules.is_expired(each, visit.now.date())},
        "hits": hits,
        "acts": acts,
        "revisions": revisions,
        "names": names,
        "digest": digest,
        "is_due": is_reviewed and party.review_at <= visit.now,  # type: ignore[operator]
        "is_screened": party.screened_revision == party.revision,
        "needs_second": rules.needs_second(party),
        "is_first": party.approval is not None and party.approval["by"] == visit.person.id,
        "may_write": visit.may("parties", "write"),
        "may_decide": may_decide(visit),
        "can": {act: _can(party, act) for act in ("submit", "approve", "reject", "suspend")},
        "choices": _choices(visit, party, others),
        "rejected": rejected,
        "sent": {} if rejected is None else rejected.values,
        "faults": faults_of(rejected),
        "percent": percent,
        "said": said_in(visit),
        "words": {
            "status": STATUSES,
            "kind": KINDS,
            "role": ROLES,
            "rating": RATINGS,
            "relation": RELATIONS,
            "document": DOCUMENTS,
            "hit": HITS,
            "act": ACTS,
        },
    }
    return Page("console/party.html", values)


def percent(ppm: int) -> str:
    """Parts per million as percent, exactly."""
    whole, rest = divmod(ppm, PPM_PER_PERCENT)
    return f"{whole}.{rest:04}".rstrip("0") if rest else str(whole)


def _owned(connection: Connection, party: Party) -> Ownership | None:
    """Who owns it in the end; None of a person, and where too many chains lead up."""
    if party.kind != PartyKind.legal_entity:
        return None
    try:
        return flow.ownership(connection, party)
    except InvalidRequest:
        return None


def _others(connection: Connection, party: Party) -> Sequence[Party]:
    rows, _ = store.list_parties(
        connection,
        PageRequest(OTHERS_SHOWN_MAX),
        livemode=party.livemode,
        account_id=party.account_id,
    )
    return [each for each in rows if each.id != party.id]


def _choices(
    visit: Visit, party: Party, others: Sequence[Party]
) -> dict[str, list[tuple[str, str]]]:
    gettext = visit.words.gettext
    return {
        "party": [(each.id, each.name) for each in others],
        "relation": [(each, gettext(text)) for each, text in RELATIONS.items()],
        "document": [(each, gettext(text)) for each, text in DOCUMENTS.items()],
        "rating": [(each, gettext(text)) for each, (text, _) in RATINGS.items()],
    }


def _lacking(
    visit: Visit,
    party: Party,
    documents: Sequence[rules.PartyDocument],
    owned: Ownership | None,
) -> Iterator[str]:
    """What is missing before it can be handed in, or accepted."""
    found = rules.missing(
        load_details(party.kind, party.details),
        documents,
        owned or Ownership((), 0),
        today=visit.now.date(),
    )
    for each in found:
        yield _lacked(visit, each)


def _lacked(visit: Visit, what: str) -> str:
    """What is missing, as the rules name it, in words."""
    gettext = visit.words.gettext
    if what.startswith(_OWNERS):
        return gettext("Who owns the remaining {share}", share=what.removeprefix(_OWNERS))
    return gettext(MISSING.get(what, what))


def in_words(visit: Visit, error: UnexpectedState) -> UnexpectedState:
    """An error that names what is missing, as this page calls it."""
    lacking = str(error.values.get("lacking") or "")
    if not lacking:
        return error
    named = "; ".join(_lacked(visit, each) for each in lacking.split("; "))
    return UnexpectedState(visit.words.gettext("Something is missing: {lacking}.", lacking=named))


def _lines(owned: Ownership, named: Mapping[str, Party]) -> list[dict[str, Any]]:
    beneficial = {each.party for each in owned.beneficial()}
    return [
        {
            "party": named[each.party],
            "share": percent(each.share_ppm),
            "controls": each.controls,
            "is_beneficial": each.party in beneficial,
            "chains": [
                [named[one].name if one in named else one for one in reversed(chain)]
                for chain in each.chains
            ],
        }
        for each in owned.owners
    ]


def _can(party: Party, act: str) -> bool:
    try:
        rules.after(party.status, act)
    except InvalidRequest:
        return False
    return True
