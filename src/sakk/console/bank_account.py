"""Banks: the operator's accounts, by the ledger and by statements, and who stands for them."""

from dataclasses import replace
from typing import Any, Final

from sakk.console.fee import percent
from sakk.console.proposal import ConfirmForm, yes_to
from sakk.console.route import ROOT, Menu, Screen
from sakk.console.visit import Page, Redirect, Rejected, Visit
from sakk.core import bank_change as rules
from sakk.core.bank_account import Adapter, BankAccount, BankRole, BankTerms, read_terms
from sakk.core.bank_change import ChangeStatus
from sakk.core.errors import ResourceMissing
from sakk.flow import bank_change as flow
from sakk.flow.officer import is_alone
from sakk.pages.language import mark
from sakk.rails.bank.sftp_key import public_key
from sakk.store import bank_account as store
from sakk.store import bank_change as changes
from sakk.store import bank_proof as proof
from sakk.store import bank_statement as statements
from sakk.store import person as persons

PATH: Final = f"{ROOT}/banks"
CLOSED_SHOWN_MAX: Final = 100


def index(visit: Visit) -> Page:
    """Every account: what the ledger has, what its bank last said, and what waits in between."""
    with visit.database.read() as connection:
        own = store.list_own(connection, store.bank_accounts.c.livemode == visit.livemode)
        balances = {
            each.bank_account: each
            for each in proof.list_balances(connection, livemode=visit.livemode)
        }
        newest = statements.newest_of(connection, [each.id for each in own])
        suspense = statements.count_open(connection, [each.id for each in own])
        said = changes.of_accounts(connection, [each.id for each in own])
        closed = store.list_closed(connection, livemode=visit.livemode, limit=CLOSED_SHOWN_MAX)
    values = {
        "closed": closed,
        "may_write": visit.may("bank_accounts", "write"),
        "own": own,
        "balances": balances,
        "newest": newest,
        "suspense": suspense,
        "most": statements.OPEN_COUNTED_MAX,
        "awaiting": {name for name, each in said.items() if each.status == ChangeStatus.awaiting},
    }
    return Page("console/banks.html", values)


def show(visit: Visit, bank_account: str) -> Page:
    """One account: how its bank is gone to, and what somebody proposed of it."""
    return _detail(visit, bank_account, None)


def again(visit: Visit, rejected: Rejected, bank_account: str) -> Page:
    """The same with what was wrong."""
    return _detail(visit, bank_account, rejected)


def approve(visit: Visit, bank_account: str, form: ConfirmForm) -> Redirect:
    """Approve what another person proposed."""
    after = flow.confirm(visit.parts, bank_account, yes_to(visit, form), livemode=visit.livemode)
    if after.deleted:
        return Redirect(PATH, visit.words.gettext("The account is closed. Its books stay."))
    told = visit.words.gettext("Approved: it is used as it was shown.")
    return Redirect(f"{PATH}/{bank_account}", told)


def decline(visit: Visit, bank_account: str) -> Redirect:
    """Refuse what was proposed, or take it back; an account that is new is gone with it."""
    after = flow.decline(visit.parts, bank_account, actor=visit.actor, livemode=visit.livemode)
    where = PATH if after.approved_at is None else f"{PATH}/{bank_account}"
    return Redirect(where, visit.words.gettext("The proposal is gone."))


def _detail(visit: Visit, identifier: str, rejected: Rejected | None) -> Page:
    with visit.database.read() as connection:
        found = store.find(connection, identifier, account_id=None, livemode=visit.livemode)
        is_gone = found is None or (found.deleted and found.approved_at is None)
        if found is None or is_gone or found.role != BankRole.own:
            raise ResourceMissing("There is no such account.")
        said = changes.of_accounts(connection, [found.id]).get(found.id)
        people = [each for each in (said and said.proposed_by, said and said.decided_by) if each]
        waits = said is not None and said.status == ChangeStatus.awaiting
        terms = read_terms(found.terms or {})
        wanted = None if said is None else read_terms(said.terms)
        values: dict[str, Any] = {
            "row": found,
            "percent": percent,
            "terms": terms,
            "key": _public_key(visit, found, wanted if waits and wanted is not None else terms),
            "said": said,
            "waits": waits,
            "wanted": wanted,
            "digest": rules.digest_of(said, found) if said is not None and waits else None,
            "people": persons.names(connection, people),
            "alone": is_alone(connection, livemode=visit.livemode),
            "may_write": visit.may("bank_accounts", "write"),
            "message": None if rejected is None else rejected.message,
            "sent": {} if rejected is None else rejected.values,
            "faults": {} if rejected is None else rejected.faults,
        }
    return Page("console/bank_account.html", values)


def _public_key(visit: Visit, row: BankAccount, terms: BankTerms) -> str | None:
    """The key that the bank has to know, of an account that goes by SFTP."""
    if terms.adapter is not Adapter.sftp or not visit.may("bank_accounts", "write"):
        return None
    return public_key(visit.parts.secrets_vault(), replace(row, terms=terms.document()))


def _act(name: str, handler: Any) -> Screen:
    return Screen(
        "POST",
        f"{PATH}/{{bank_account}}/{name}",
        handler,
        "bank_accounts",
        step_up=True,
        operator_only=True,
        again=again,
    )


SCREENS: tuple[Screen, ...] = (
    Screen(
        "GET", PATH, index, "bank_accounts", operator_only=True, menu=Menu("Money", mark("Banks"))
    ),
    Screen("GET", f"{PATH}/{{bank_account}}", show, "bank_accounts", operator_only=True),
    _act("approve", approve),
    _act("decline", decline),
)
