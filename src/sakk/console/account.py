"""Accounts: whom each may pay, whether it is to be verified first, and what it bears."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from sakk.console.listing import ListQuery, created_within, csv_file, fields, listing, options
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Download, Page, Redirect, Rejected, Visit
from sakk.core import account as rules
from sakk.core.account import Account, PayoutSettings
from sakk.core.errors import ParameterInvalid, ResourceMissing
from sakk.core.money import format_decimal, parse_decimal
from sakk.core.search import like
from sakk.flow import account as flow
from sakk.pages.form import Form
from sakk.pages.language import mark
from sakk.store import account as store
from sakk.store import network as networks
from sakk.store import party as parties
from sakk.store.page import fetch_window

PATH: Final = f"{ROOT}/accounts"
KINDS: Final[Mapping[str, tuple[str, str]]] = {
    "operator": (mark("The operator's own"), "plain"),
    "merchant": (mark("Account of a merchant"), "plain"),
}
VERIFICATION: Final[Mapping[str, str]] = {
    "optional": mark("Always"),
    "required": mark("Only while it is verified"),
}
DESTINATIONS: Final[Mapping[str, str]] = {
    "any": mark("Any address"),
    "address_book": mark("Its address book alone"),
}
NETWORK_FEE: Final[Mapping[str, str]] = {
    "default": mark("As the operator's own account says"),
    "charge": mark("It bears them"),
    "waive": mark("The operator bears them"),
}
REFUND_FEE: Final[Mapping[str, str]] = {
    "waive": mark("The operator bears them"),
    "merchant": mark("It bears them"),
    "payer": mark("The payer bears them"),
}
# The parameters of the command, as the form names them.
_PREFIX: Final = "settings[payouts]["
_FIELDS: Final = {"beneficiary_delay_seconds": "delay"}
FIXED_LENGTH_MAX: Final = 1_000


class SettingsForm(Form):
    """The settings as people write them: ``fixed`` has a currency and an amount a line.

    ``delay``: seconds; left empty, what the mode says.
    """

    verification: Literal["optional", "required"]
    destinations: Literal["any", "address_book"]
    delay: Annotated[int, Field(ge=0, le=rules.BENEFICIARY_DELAY_SECONDS_MAX)] | None = None
    network_fee: Literal["default", "charge", "waive"]
    refund_fee: Literal["waive", "merchant", "payer"]
    fixed: Annotated[str, Field(max_length=FIXED_LENGTH_MAX)] | None = None


def index(visit: Visit, query: ListQuery) -> Page | Download:
    """All accounts, newest first."""
    c = store.accounts.c
    filters = created_within(visit, query, store.accounts)
    if query.q is not None:
        pattern = like(query.q)
        filters.append((c.id == query.q) | c.name.ilike(pattern) | c.email.ilike(pattern))
    with visit.database.read() as connection:
        window = fetch_window(
            connection,
            store.accounts,
            Account,
            bound=[],
            filters=filters,
            limit=query.limit,
            **query.place,
        )
    if query.is_file:
        return csv_file(
            "accounts.csv",
            [
                *fields("id", "created", "kind", "name", "email", "country"),
                ("verification", lambda row: PayoutSettings(**row.payouts).verification),
                ("destinations", lambda row: PayoutSettings(**row.payouts).destinations),
            ],
            window.rows,
        )
    values = {
        "list": listing(visit, query, window, window.rows),
        "settings": {row.id: PayoutSettings(**row.payouts) for row in window.rows},
        "kinds": KINDS,
        "verification": VERIFICATION,
        "destinations": DESTINATIONS,
    }
    return Page("console/accounts.html", values)


def show(visit: Visit, account: str) -> Page:
    """One account: whether it is verified, and what its payouts are bound to."""
    return _detail(visit, account, None)


def again(visit: Visit, rejected: Rejected, account: str) -> Page:
    """The form as it was sent, with what is wrong with it."""
    return _detail(visit, account, rejected)


def change(visit: Visit, account: str, form: SettingsForm) -> Redirect:
    """Say whom it may pay, and what it bears, from now on."""
    changes = {
        "verification": form.verification,
        "destinations": form.destinations,
        "beneficiary_delay_seconds": form.delay,
        "network_fee": form.network_fee,
        "refund_fee": form.refund_fee,
        "refund_fee_fixed": _fixed(visit, form.fixed or ""),
    }
    with visit.database.begin() as connection:
        flow.update(
            connection,
            account,
            {"payouts": changes},
            livemode=visit.livemode,
            by_operator=True,
            now=visit.now,
            request_id=visit.request_id,
        )
    return Redirect(f"{PATH}/{account}", visit.words.gettext("It is saved."))


def _fixed(visit: Visit, text: str) -> dict[str, int]:
    """What is added to a refund's fee, by currency in its smallest unit."""
    with visit.database.read() as connection:
        scales = {each.currency: each.decimals for each in networks.list_currencies(connection)}
    found = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        currency, _, amount = line.strip().partition(" ")
        scale = scales.get(currency.lower())
        try:
            if scale is None:
                raise ValueError
            found[currency.lower()] = parse_decimal(amount.strip(), scale)
        except ValueError:
            raise ParameterInvalid(
                visit.words.gettext("Write a currency and an amount a line, such as USDC 0.50."),
                param="fixed",
            ) from None
    return found


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        row = store.find_account(connection, identifier)
        if row is None:
            raise ResourceMissing("There is no such account.")
        scales = {each.currency: each.decimals for each in networks.list_currencies(connection)}
        verified = parties.is_verified(connection, row.id, livemode=visit.livemode)
        payer = store.find_payer(connection, row.id)
    settings = PayoutSettings(**row.payouts)
    fixed = [
        (currency, units, scales.get(currency, 0))
        for currency, units in sorted(settings.refund_fee_fixed.items())
    ]
    given = {
        **settings.document(),
        "delay": settings.beneficiary_delay_seconds,
        "fixed": "\n".join(
            f"{name.upper()} {format_decimal(units, scale)}" for name, units, scale in fixed
        ),
    }
    faults = {} if rejected is None else rejected.faults
    values: dict[str, Any] = {
        "row": row,
        "verified": verified,
        "settings": settings,
        "delay": settings.delay_seconds(livemode=visit.livemode),
        "is_charged": payer.is_charged_network_fee(),
        "fixed": fixed,
        "kinds": KINDS,
        "words": {
            "verification": VERIFICATION,
            "destinations": DESTINATIONS,
            "network_fee": NETWORK_FEE,
            "refund_fee": REFUND_FEE,
        },
        "choices": {
            "verification": options(visit, VERIFICATION),
            "destinations": options(visit, DESTINATIONS),
            "network_fee": options(visit, NETWORK_FEE),
            "refund_fee": options(visit, REFUND_FEE),
        },
        "given": given if rejected is None else rejected.values,
        "faults": {_named(name): text for name, text in faults.items()},
        "message": None if rejected is None else rejected.message,
        "is_sent": rejected is not None,
        "may_change": visit.may("accounts", "write"),
    }
    return Page("console/account.html", values)


def _named(param: str) -> str:
    name = param.removeprefix(_PREFIX).removesuffix("]")
    return _FIELDS.get(name, name)


SCREENS: tuple[Screen, ...] = (
    Screen(
        "GET",
        PATH,
        index,
        "accounts",
        operator_only=True,
        menu=Menu("Organisation", mark("Accounts")),
    ),
    Screen("GET", f"{PATH}/{{account}}", show, "accounts", operator_only=True),
    Screen(
        "POST",
        f"{PATH}/{{account}}",
        change,
        "accounts",
        step_up=True,
        operator_only=True,
        again=again,
    ),
)
