"""A person's word on a spend: one of the house's people, with a fresh code, and in time."""

from dataclasses import replace

import pyotp
import pytest
from tests.flow.mandating import open_house

from sakk.core.account import AccountKind
from sakk.core.errors import PermissionDenied, StepUpFailed
from sakk.core.mandate_spend import approval_digest
from sakk.core.person import Actor
from sakk.flow import mandate_spend
from sakk.flow.mandate_approval import Place, approve
from sakk.flow.person import bootstrap, confirm
from sakk.flow.step_up import StepUp
from sakk.flow.word import Word
from sakk.store.database import Database
from sakk.store.identity import new_id
from sakk.store.vault import KEY_BYTES, Vault


def test_a_person_says_yes_with_a_fresh_code_and_silence_ends_it(database: Database) -> None:
    with open_house(database) as house:
        days = int(house.clock().timestamp()) + 10 * 86_400
        made = house.mandate(approval_above=5, expires_at=days)
        waiting = house.spend(made, 6, reference="a")
        house.open_account(AccountKind.operator)
        parts = replace(house.parts, vault=Vault(bytes(KEY_BYTES)))
        enrolled, _ = bootstrap(parts, name="Ada", email="ada@example.com", livemode=False)
        who = Actor("key_1", enrolled.person.id)

        def code() -> str:
            return pyotp.TOTP(enrolled.secret).at(int(house.clock().timestamp()))

        first = code()
        confirm(parts, enrolled.person.id, actor=who, livemode=False, code=first)
        place = Place(made.id, waiting.id, house.account, False)
        for actor, given, refused in (
            (Actor("key_2"), None, PermissionDenied),
            (who, first, StepUpFailed),
        ):
            word = Word(actor, StepUp(given), approval_digest(waiting))
            with pytest.raises(refused):
                approve(parts, place, word, owner_signature=None, approval_id=new_id("apr"))
        house.clock.pass_by(60)
        word = Word(who, StepUp(code()), approval_digest(waiting))
        done = approve(parts, place, word, owner_signature=None, approval_id=new_id("apr"))
        assert (done.status, done.approved_by) == ("approved", enrolled.person.id)
        assert house.spend(made, 6, reference="a").status == "posted"

        unused = house.spend(made, 7, reference="c")
        house.clock.pass_by(60)
        word = Word(who, StepUp(code()), approval_digest(unused))
        place = replace(place, spend=unused.id)
        approve(parts, place, word, owner_signature=None, approval_id=new_id("apr"))
        house.clock.pass_by(86_401)
        # Too late, also before the stage has looked.
        assert house.spend(made, 7, reference="c").status == "expired"
        assert house.told(unused.id)[-1] == "mandate_spend.expired"

        late = house.spend(made, 7, reference="b")
        house.clock.pass_by(86_401)
        stage = mandate_spend.expire_stage(house.parts)
        assert (stage.run(), stage.run()) == (1, 0)
        assert house.spend(made, 7, reference="b").status == "expired"
        assert house.told(late.id)[-1] == "mandate_spend.expired"
        assert house.balance(house.seller) == 6
