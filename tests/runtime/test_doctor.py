"""The doctor's findings that need nothing around them."""

import pytest

from sakk.ledger import machine
from sakk.runtime.doctor import examine_machine


def test_the_doctor_says_which_machine_serves_and_how_to_get_the_fast_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = examine_machine()
    assert found.ok
    assert found.message == "the compiled machine serves"
    monkeypatch.setattr(machine, "IS_BUILT", False)
    found = examine_machine()
    assert not found.ok
    assert "make setup" in found.message
