"""The console's door: who comes in, what is sent by whom, and what stands around every page."""

from sqlalchemy import text

from sakk.flow import sign_in as sign_ins
from tests.console.browser import Browser
from tests.console.office import Office


def test_a_link_signs_in_once(office: Office) -> None:
    owner = office.person("owner")
    browser = office.browser()
    path = f"/console/enter/{office.link(owner)}"
    assert "once" in browser.get(path).text
    # Looked at as often as anybody likes.
    browser.get(path)
    assert browser.post(path).location == "/console"
    page = browser.get("/console/security")
    assert (page.status, owner.name in page.text) == (200, True)
    other = office.browser()
    other.get(path)
    assert other.post(path).status == 401


def test_nobody_gets_past_the_door(office: Office) -> None:
    browser = office.browser()
    assert browser.get("/console/security").location == "/console/sign-in?next=/console/security"
    assert browser.get("/console/sign-in").status == 200
    browser.cookies["sakk"] = "made-up"
    assert (
        browser.get("/console/look?q=a").location == "/console/sign-in?next=/console/look%3Fq%3Da"
    )


def test_a_token_from_before_is_worth_nothing(office: Office) -> None:
    """Fixation: whoever planted a token in a browser is not who signs in there."""
    person = office.person("viewer")
    browser = office.browser(person)
    planted = browser.cookies["sakk"]
    path = f"/console/enter/{office.link(person)}"
    browser.get(path)
    browser.post(path)
    assert browser.cookies["sakk"] != planted
    assert sign_ins.find(office.parts, planted) is None


def test_what_no_page_of_ours_sent_does_nothing(office: Office) -> None:
    browser = office.browser(office.person("owner"))
    assert browser.page is not None
    fields = browser.page.fields()
    path = "/console/security/sign-out/elsewhere"
    origin = "http://localhost:8402"
    for form, headers in (
        (fields, {"origin": "https://evil.example"}),
        (fields, {"origin": "null"}),
        (fields, {}),
        (fields, {"origin": origin, "sec-fetch-site": "cross-site"}),
        (fields, {"sec-fetch-site": "same-site"}),
        ({}, {"origin": origin}),
        ({**fields, "_csrf": "0" * 64}, {"origin": origin}),
    ):
        assert browser.send("POST", path, form=form, headers=headers).status == 403
    stranger = Browser(office.console, cookies=dict(browser.cookies))
    other = office.browser(office.person("owner"))
    assert other.page is not None
    theirs = other.page.fields()
    assert stranger.send("POST", path, form=theirs, headers={"origin": origin}).status == 403
    assert browser.post(path).status == 303


def test_every_answer_is_safe_to_show(office: Office) -> None:
    browser = office.browser(office.person("owner"))
    for path in ("/console/security", "/console/sign-in", "/console/nothing", "/console/look"):
        headers = browser.get(path).headers
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "'unsafe" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
    kept = browser.send("GET", f"/console/enter/{office.link(office.person('owner'))}")
    (cookie,) = kept.set_cookies
    assert "HttpOnly; SameSite=Strict" in cookie
    assert "Secure" not in cookie


def test_out_is_out(office: Office) -> None:
    person = office.person("viewer")
    here, there = office.browser(person), office.browser(person)
    here.get("/console/security")
    assert here.post("/console/security/sign-out/elsewhere").status == 303
    assert "Signed out on 1 device" in here.get("/console/security").text.replace(
        "\u2068", ""
    ).replace("\u2069", "")
    assert there.get("/console/security").status == 303
    stolen = dict(here.cookies)
    assert here.post("/console/security/sign-out").status == 303
    assert Browser(office.console, cookies=stolen).get("/console/security").status == 303


def test_nobody_ends_a_strangers_sign_in(office: Office) -> None:
    victim = office.browser(office.person("viewer"))
    token = victim.cookies["sakk"]
    found = sign_ins.find(office.parts, token)
    assert found is not None
    intruder = office.browser(office.person("owner"))
    got = intruder.post(f"/console/security/devices/{found.sign_in.id}/sign-out")
    assert got.status == 404
    assert victim.get("/console/security").status == 200


def test_a_merchants_person_looks_at_their_account_alone(office: Office) -> None:
    browser = office.browser(office.person(alice=["owner"]))
    page = browser.get("/console/look")
    assert (office.alice in page.text, office.bob in page.text) == (True, False)
    assert browser.post("/console/look", {"account": office.bob}).status == 404
    assert browser.post("/console/look", {"account": office.alice}).status == 303
    operator = office.browser(office.person("viewer"))
    assert office.bob in operator.get("/console/look").text
    assert operator.post("/console/look", {"account": office.bob}).status == 303
    assert "Bob" in operator.get("/console/security").text


def test_pages_speak_as_the_person_wants(office: Office) -> None:
    browser = office.browser(office.person("viewer"))
    got = browser.post(
        "/console/preferences", {"language": "ar", "time_zone": "Asia/Dubai", "theme": "dark"}
    )
    assert got.status == 303
    page = browser.get("/console/security")
    assert '<html lang="ar" dir="rtl" data-theme="dark">' in page.text
    assert "UTC+04:00" in page.text
    assert '<html lang="zh-Hant"' in browser.get("/console/security?lang=zh-Hant").text
    wrong = browser.post("/console/preferences", {"time_zone": "Nowhere/City"})
    assert wrong.status == 400


def test_an_error_is_told_in_the_pages_language(office: Office) -> None:
    """A rule's own words in the person's language; what is filled in stays as it is."""
    browser = office.browser(office.person(alice=["owner"]))
    told = {
        "ar": "لا يوجد عميل كهذا: \u2068&#39;cus_1&#39;\u2069",
        "zh-Hans": "没有这个客户：\u2068&#39;cus_1&#39;\u2069",
        "zh-Hant": "沒有這個客戶：\u2068&#39;cus_1&#39;\u2069",
        "en": "No such customer: &#39;cus_1&#39;",
    }
    for language, shown in told.items():
        got = browser.get(f"/console/customers/cus_1?lang={language}")
        assert (got.status, shown in got.text) == (404, True), got.text
    browser.get("/console/webhooks")
    again = browser.post("/console/webhooks?lang=ar", {"url": "ftp://shop.example"})
    assert again.status == 400
    assert "رابط webhook" in again.text


def test_what_is_done_to_money_is_noted_with_the_person(office: Office) -> None:
    """Customers and payments are no part of the audit log; that somebody changed them is."""
    person = office.person(alice=["owner"])
    browser = office.browser(person)
    browser.get("/console/customers")
    assert browser.post("/console/customers", {"name": "Carol"}).status == 303
    with office.parts.database.read() as connection:
        noted = connection.execute(
            text("SELECT * FROM audit_inbox WHERE source = 'acts' AND actor LIKE :who"),
            {"who": f"{person.id}/%"},
        ).all()
    assert [each.act for each in noted] == ["/console/customers"]
    assert "Carol" not in str(noted[0].after)
