"""The audit log in the console: proved at a button, and who finds what is not as it was."""

from sqlalchemy import text

from tests.console.office import Office


def test_the_log_is_proved_at_a_button(office: Office) -> None:
    owner = office.browser(office.person("owner"))
    assert "/console/audit/verify" in owner.get("/console/audit").text
    got = owner.get("/console/audit/verify")
    assert (got.status, "It holds" in got.text) == (200, True), got.text
    with office.parts.database.begin() as connection:
        connection.execute(text("ALTER TABLE persons DISABLE TRIGGER USER"))
    broken = owner.get("/console/audit/verify").text
    assert ("It is broken" in broken, "its triggers are gone or off" in broken) == (True, True)
    assert office.browser(office.person("developer")).get("/console/audit/verify").status == 403
