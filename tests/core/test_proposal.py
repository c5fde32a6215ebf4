"""What takes two people: who may be the second, and to what they say yes."""

import hashlib

import pytest

from sakk.core.errors import ApprovalStale, SakkError, SamePerson
from sakk.core.proposal import SecondPerson, digest_words

STALE = ApprovalStale("Look again.", param="digest")


def test_a_digest_is_of_every_word_in_its_order() -> None:
    """It can be made again of what is shown, with any tool."""
    found = digest_words(["sakk thing v1", "é"])
    assert found == hashlib.sha256("13:sakk thing v1,2:é,".encode()).hexdigest()


def test_no_break_within_a_word_makes_two_of_it() -> None:
    assert digest_words(["thing", "one\ntwo"]) != digest_words(["thing", "one", "two"])
    assert digest_words(["thing", "one,3:two"]) != digest_words(["thing", "one", "two"])


@pytest.mark.parametrize(
    ("second", "error"),
    [
        (SecondPerson("per_2", True, "now"), None),
        (SecondPerson("per_1", True, "now"), SamePerson),
        (SecondPerson("per_1", True, "then"), SamePerson),
        (SecondPerson("per_2", True, "then"), ApprovalStale),
        (SecondPerson("per_2", True, None), ApprovalStale),
        # The sandbox's key stands for two people, and has to look like everybody.
        (SecondPerson("per_1", False, "now"), None),
        (SecondPerson("per_1", False, "then"), ApprovalStale),
    ],
)
def test_another_person_says_yes_to_what_stands_there_now(
    second: SecondPerson, error: type[SakkError] | None
) -> None:
    if error is None:
        second.check(proposed_by="per_1", shown="now", stale=STALE)
        return
    with pytest.raises(error):
        second.check(proposed_by="per_1", shown="now", stale=STALE)


def test_a_noun_may_say_it_in_words_of_its_own() -> None:
    own = SamePerson("You brought this file: another person releases it.")
    with pytest.raises(SamePerson, match="brought"):
        SecondPerson("per_1", True, "now").check(
            proposed_by="per_1", shown="now", stale=STALE, same=own
        )
