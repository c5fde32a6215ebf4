"""The directory of institutions."""

from datetime import UTC, date, datetime

import pytest

from sakk.core.errors import ParameterInvalid
from sakk.core.ivms101 import violations, write
from sakk.core.vasp import Vasp, check_lei, public_vasp, read_addresses, vasp_person

LEI = "506700GE1G29325QX363"
ADDRESS = "0x8ba1f109551bD432803012645Ac136ddd64DBA72"


def test_leis() -> None:
    check_lei(None, param="lei")
    check_lei(LEI, param="lei")
    with pytest.raises(ParameterInvalid, match="check digits") as refused:
        check_lei(LEI[:-1] + "4", param="lei")
    assert refused.value.param == "lei"


def test_addresses() -> None:
    assert read_addresses([ADDRESS, ADDRESS.lower()], param="a") == [ADDRESS.lower()]
    with pytest.raises(ParameterInvalid) as refused:
        read_addresses([ADDRESS, "0x12"], param="a")
    assert refused.value.param == "a[1]"


def test_as_others_know_it() -> None:
    whole = vasp_person("Bob", lei=LEI, country="CH")
    assert violations(whole, today=date(2026, 1, 1)) == []
    legal = write(whole)["legalPerson"]
    assert legal["countryOfRegistration"] == "CH"
    assert legal["nationalIdentification"]["nationalIdentifier"] == LEI
    assert set(write(vasp_person("Bob", lei=None, country=None))["legalPerson"]) == {"name"}


def test_as_the_operator_sees_it() -> None:
    vasp = Vasp(
        id="vasp_1",
        livemode=True,
        name="Bob",
        lei=LEI,
        country="CH",
        travel_address=None,
        addresses=[ADDRESS.lower()],
        status="active",
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    shown = public_vasp(vasp)
    assert (shown["object"], shown["addresses"]) == ("vasp", [ADDRESS])
