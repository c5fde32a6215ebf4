"""How many invoices of a mandate may wait to be paid."""

from datetime import UTC, datetime, timedelta

import pytest

from sakk.core.errors import UnexpectedState
from sakk.flow import mandate_invoice as invoices
from sakk.flow.payment import EXPIRY_DEFAULT, read_catalogue
from sakk.store import mandate as mandates
from sakk.store.identity import new_id
from tests.api.agent import sign_mandate
from tests.api.world import Api


def test_what_was_called_off_or_is_over_makes_room_for_another(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invoices, "OPEN_MAX", 2)
    signed, neighbour = (sign_mandate(api, may_invoice=True) for _ in range(2))
    begun = datetime.now(UTC)

    def ask(reference: str, *, after: timedelta = timedelta(0), mandate: str = signed.id) -> str:
        with api.database.begin() as connection:
            under = mandates.find_any(connection, mandate)
            assert under is not None
            request = invoices.InvoiceRequest(reference, 1, under.currency, None, None, {})
            return invoices.create(
                connection,
                read_catalogue(connection),
                request,
                under=under,
                identifier=new_id("pi"),
                now=begun + after,
            ).id

    first, late = ask("1"), timedelta(seconds=30)
    assert ask("1") == first
    ask("2", after=late)
    with pytest.raises(UnexpectedState):
        ask("3", after=late)
    ask("3", mandate=neighbour.id)
    path = f"/v1/mandates/{signed.id}/invoices/{first}/cancel"
    assert signed.ask(api, "POST", path, {}).json()["status"] == "canceled"
    ask("4", after=late)
    with pytest.raises(UnexpectedState):
        ask("5", after=EXPIRY_DEFAULT)
    # Nobody wrote down yet that the others expired.
    ask("5", after=EXPIRY_DEFAULT + late)
