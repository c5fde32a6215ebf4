"""One object of Bob's for every parameter of the console's paths, by the parameter's name."""

from sakk.core.sign_in import token_hash
from sakk.store import sign_in as sign_ins
from tests.console.office import Office


def objects(office: Office) -> dict[str, str]:
    """What somebody who stands in Alice's account must not meet."""
    person = office.person(bob=["owner"])
    browser = office.browser(person)
    with office.parts.database.read() as connection:
        signed_in = sign_ins.by_token(connection, token_hash(browser.cookies["sakk"]))
    assert signed_in is not None
    return {
        "sign_in": signed_in.id,
        "person": person.id,
        "account": office.bob,
        # No such row is needed: whoever has none of this id is told the same.
        "passkey": "pky_of_bob",
    }
