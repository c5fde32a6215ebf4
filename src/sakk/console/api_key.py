"""API keys: made with the scopes that are needed, shown once, rolled and revoked."""

from typing import Annotated

from pydantic import Field
from sqlalchemy import Connection

from sakk.console.listing import ROWS, ListQuery, listing
from sakk.console.route import Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core.api_key import PREFIX, ApiKey, KeyKind, read_scopes
from sakk.core.errors import ParameterInvalid, ResourceMissing, UnexpectedState
from sakk.core.role import OPERATORS, RESOURCES, Access
from sakk.flow import api_key as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import api_key as store
from sakk.store.page import Window, fetch_window

PATH = "/console/keys"
ADDRESSES_LENGTH_MAX = 2_000


class KeyForm(Form):
    """A new key: everything, or named scopes."""

    name: Annotated[str, Field(max_length=100)]
    kind: KeyKind = KeyKind.restricted
    scopes: list[Annotated[str, Field(max_length=100)]] = Field(default_factory=list)
    addresses: Annotated[str, Field(max_length=ADDRESSES_LENGTH_MAX)] | None = None


def index(visit: Visit, query: ListQuery) -> Page:
    """The keys of an account, revoked ones too, and a form for a new one."""
    return _page(visit, query, None)


def again(visit: Visit, rejected: Rejected) -> Page:
    """The same with what was wrong in the form."""
    return _page(visit, ListQuery(), rejected)


def create(visit: Visit, form: KeyForm) -> Page:
    """Make a key. The token is on this page and nowhere else."""
    scopes = [] if form.kind is KeyKind.secret else read_scopes(form.scopes, _allowed(visit))
    if form.kind is KeyKind.restricted and not scopes:
        raise ParameterInvalid(
            visit.words.gettext("Choose at least one thing that the key may do."), param="scopes"
        )
    with visit.database.read() as connection:
        may_everything = _may_everything(connection, visit, visit.account())
    if form.kind is KeyKind.secret and not may_everything:
        raise ParameterInvalid(
            visit.words.gettext("Only an owner or an admin makes a key that may do everything."),
            param="kind",
        )
    return _made(visit, form.name, form.kind, scopes, (form.addresses or "").split(), None)


def roll(visit: Visit, key: str) -> Page:
    """Make a key like one, and shown once; the one before stays until it is revoked."""
    with visit.database.read() as connection:
        found = _found(connection, visit, key)
        may_everything = _may_everything(connection, visit, found.account_id)
    if found.revoked_at is not None:
        raise UnexpectedState(visit.words.gettext("This key is revoked. Make a new one."))
    if found.mandate is not None or found.person is not None:
        raise UnexpectedState(visit.words.gettext("This key is not made here. Make a new one."))
    is_secret = found.kind == KeyKind.secret
    if not (may_everything if is_secret else set(found.scopes) <= set(_allowed(visit))):
        raise UnexpectedState(visit.words.gettext("This key may do more than you may."))
    return _made(
        visit, found.name, KeyKind(found.kind), found.scopes, found.allowed_addresses, found
    )


def revoke(visit: Visit, key: str) -> Redirect:
    """End a key for ever."""
    with visit.database.begin() as connection:
        found = _found(connection, visit, key)
        flow.revoke(
            connection,
            found.id,
            account_id=found.account_id,
            livemode=visit.livemode,
            now=visit.now,
        )
    return Redirect(PATH, flash=visit.words.gettext("The key is revoked."))


def _made(
    visit: Visit,
    name: str | None,
    kind: KeyKind,
    scopes: list[str],
    addresses: list[str],
    before: ApiKey | None,
) -> Page:
    identifier = visit.object_id(PREFIX)
    account_id = visit.account() if before is None else before.account_id
    with visit.database.begin() as connection:
        if store.find_api_key(
            connection, identifier, account_id=account_id, livemode=visit.livemode
        ):
            raise UnexpectedState(
                visit.words.gettext("This key was made already, and is shown only once.")
            )
        made, token = flow.create(
            connection,
            key_id=identifier,
            account_id=account_id,
            livemode=visit.livemode,
            now=visit.now,
            kind=kind,
            name=name,
            scopes=scopes,
            allowed_addresses=addresses,
            # A key that a person makes for the operator's own account is theirs.
            person=visit.person.id if _is_operators(connection, visit, account_id) else None,
        )
    return Page("console/api_key_made.html", {"key": made, "token": token, "before": before})


def _is_operators(connection: Connection, visit: Visit, account_id: str) -> bool:
    return visit.is_operator and store.is_operators(connection, account_id)


def _may_everything(connection: Connection, visit: Visit, account_id: str) -> bool:
    """May they do all that a secret key of this account may?

    What is the operator's own is nobody's in a merchant's account, and no merchant's key's.
    """
    counted = RESOURCES
    if not store.is_operators(connection, account_id):
        counted = RESOURCES - OPERATORS
    allowed = set(_allowed(visit))
    return all(
        scope in allowed for scope in visit.settings.scopes if scope.partition(":")[0] in counted
    )


def _allowed(visit: Visit) -> list[str]:
    """The scopes that this person may give: what they may do themselves."""
    return [scope for scope in visit.settings.scopes if _may(visit, *scope.split(":"))]


def _may(visit: Visit, resource: str, access: str) -> bool:
    needed: Access = "write" if access == "write" else "read"
    return resource in RESOURCES and visit.may(resource, needed)


def _page(visit: Visit, query: ListQuery, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        window = _window(connection, visit, query)
        may_everything = visit.account_id is not None and _may_everything(
            connection, visit, visit.account_id
        )
    by_resource: dict[str, list[str]] = {}
    for scope in _allowed(visit):
        by_resource.setdefault(scope.partition(":")[0], []).append(scope)
    return Page(
        "console/api_keys.html",
        {
            "list": listing(visit, query, window, window.rows),
            "scopes": by_resource,
            "may_write": visit.may("api_keys", "write"),
            "may_create": visit.account_id is not None and visit.may("api_keys", "write"),
            "may_everything": may_everything,
            "rejected": rejected,
            "now": visit.now,
        },
    )


def _window(connection: Connection, visit: Visit, query: ListQuery) -> Window[ApiKey]:
    c = store.api_keys.c
    mode = c.livemode == visit.livemode
    whose = [] if visit.account_id is None else [c.account_id == visit.account_id, mode]
    return fetch_window(
        connection,
        store.api_keys,
        ApiKey,
        bound=whose,
        filters=[mode] if visit.account_id is None else (),
        limit=ROWS,
        **query.place,
    )


def _found(connection: Connection, visit: Visit, key: str) -> ApiKey:
    found = store.find_visible(
        connection, key, account_id=visit.account_id, livemode=visit.livemode
    )
    if found is None:
        raise ResourceMissing("No such API key: {key}", param="key", key=repr(key))
    return found


SCREENS: tuple[Screen, ...] = (
    Screen("GET", PATH, index, "api_keys", menu=Menu("Developers", mark("API keys"))),
    Screen("POST", PATH, create, "api_keys", step_up=True, again=again),
    Screen("POST", PATH + "/{key}/roll", roll, "api_keys", step_up=True),
    Screen("POST", PATH + "/{key}/revoke", revoke, "api_keys"),
)
