"""The console's door: from a browser's request to a page, for whoever may see it.

In this order: who is it; did a page of ours send this form; may they; did they prove to be there;
is the form right; then the screen. Whatever a person does is noted in the audit log as theirs.
"""

import hmac
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import structlog
from sqlalchemy.exc import IntegrityError

from sakk.console.entrance import SIGN_IN, Arrival, Entrance, EntranceAnswer, SignedInNow
from sakk.console.request import Arrived, is_ours
from sakk.console.respond import Response, cookie, download, html, json_answer, redirect
from sakk.console.route import Screen
from sakk.console.shell import MenuItem, may_see, menu
from sakk.console.step_up import kept, prove, read_proof, ways
from sakk.console.visit import (
    Answer,
    ConsoleSettings,
    Data,
    Download,
    Page,
    Redirect,
    Rejected,
    Visit,
)
from sakk.core.audit import UNKEPT
from sakk.core.errors import (
    MethodNotAllowed,
    ParameterInvalid,
    PermissionDenied,
    RateLimited,
    ResourceMissing,
    SakkError,
    StepUpFailed,
    StepUpRequired,
    UnexpectedState,
)
from sakk.core.membership import roles_in
from sakk.core.peer import place_of
from sakk.core.sign_in import csrf_token
from sakk.flow import sign_in as flow
from sakk.flow.audit import note_act
from sakk.flow.context import Parts
from sakk.flow.sign_in import Device, SignedIn
from sakk.pages import language as languages
from sakk.pages.form import Faulty, Upload, Values, read_form, read_query, validate
from sakk.pages.limit import TokenBuckets
from sakk.pages.once import ONCE, new_once, seed_of
from sakk.store import account as accounts
from sakk.store.actor import acting
from sakk.store.database import is_duplicate

log = structlog.get_logger("sakk.console")

# Of one person, and of one IP address that nobody signed in from.
REQUESTS_PER_SECOND: Final = 20.0
REQUESTS_BURST: Final = 200.0
ENTRANCES_PER_SECOND: Final = 1.0
ENTRANCES_BURST: Final = 60.0
DOOR_TOKEN_BYTES: Final = 16
# A field of the shell's own in a form.
CSRF: Final = "_csrf"


@dataclass(frozen=True, slots=True)
class Cookies:
    """Their names. Served by TLS, the prefix binds them to this host alone (RFC 6265bis)."""

    sign_in: str
    door: str
    is_secure: bool

    @classmethod
    def of(cls, settings: ConsoleSettings) -> "Cookies":
        prefix = "__Host-" if settings.is_secure else ""
        return cls(f"{prefix}sakk", f"{prefix}sakk_door", settings.is_secure)


@dataclass(slots=True)
class Door:
    """Answers requests of any screen; safe to call from many threads."""

    parts: Parts
    settings: ConsoleSettings
    screens: Sequence[Screen]
    entrances: Sequence[Entrance]
    processes: int = 1
    cookies: Cookies = field(init=False)
    _persons: TokenBuckets = field(init=False)
    _addresses: TokenBuckets = field(init=False)

    def __post_init__(self) -> None:
        self.cookies = Cookies.of(self.settings)
        share = 1.0 / self.processes
        self._persons = TokenBuckets(
            rate=REQUESTS_PER_SECOND * share, burst=max(1.0, REQUESTS_BURST * share)
        )
        self._addresses = TokenBuckets(
            rate=ENTRANCES_PER_SECOND * share, burst=max(1.0, ENTRANCES_BURST * share)
        )

    def body_bytes_max(self, path: str) -> int:
        """How large a body may be that is sent there."""
        return max(
            (each.body_bytes_max for each in self.screens if each.pattern.fullmatch(path)),
            default=1 << 16,
        )

    def knows(self, request: Arrived) -> bool:
        """Is a POST from somebody who is signed in?"""
        token = request.cookies.get(self.cookies.sign_in)
        if token is None or request.method != "POST":
            return False
        return flow.find(self.parts, token) is not None

    def answer(self, request: Arrived) -> Response:
        """Answer a request; every error becomes a page too."""
        language = self._language(request, None)
        try:
            entrance = _matched(self.entrances, request)
            if entrance is not None:
                return self._enter(*entrance, request, language)
            return self._visit(request, language)
        except SakkError as error:
            return self._refusal(error, request, language)
        except Exception:
            log.exception("console.failed", path=request.path, request_id=request.request_id)
            return self._refusal(SakkError(""), request, language)

    def _language(self, request: Arrived, signed_in: SignedIn | None) -> str:
        asked = read_query(request.query).get("lang") if b"lang=" in request.query else None
        stored = None if signed_in is None else signed_in.person.language
        return languages.choose(
            asked=asked if isinstance(asked, str) else None,
            stored=stored or request.cookies.get(languages.COOKIE),
            accept=request.headers.get("accept-language"),
        )

    def _check_sent_by_us(self, request: Arrived, form: Values, expected: str) -> None:
        """Raise PermissionDenied for what no page of ours sent."""
        sent = request.headers.get("x-sakk-csrf") or form.get(CSRF)
        is_sent = is_ours(request.headers, is_secure=self.settings.is_secure)
        if not is_sent or not isinstance(sent, str) or not _equal(sent, expected):
            raise PermissionDenied(
                "This was not sent by a page of this console, or the page was too old. Open it"
                " again."
            )

    # Who is not signed in.

    def _enter(
        self, entrance: Entrance, path: Mapping[str, str], request: Arrived, language: str
    ) -> Response:
        if not self._addresses.take(place_of(request.address)):
            raise RateLimited("Too many requests from this IP address. Wait a minute.")
        door = request.cookies.get(self.cookies.door) or os.urandom(DOOR_TOKEN_BYTES).hex()
        form: Values = {}
        if request.method == "POST":
            form = read_form(request.body, request.headers.get("content-type"))
            self._check_sent_by_us(request, form, csrf_token(door))
        arrival = Arrival(
            parts=self.parts,
            settings=self.settings,
            now=self.parts.clock(),
            language=language,
            csrf=csrf_token(door),
            path=request.path,
            query=read_query(request.query),
            form={name: each for name, each in form.items() if name != CSRF},
            device=Device(request.headers.get("user-agent"), request.address),
            token=request.cookies.get(self.cookies.sign_in),
            request_id=request.request_id,
            host=request.headers.get("host", ""),
        )
        answer = entrance.handler(arrival, **path)
        response = self._entered(answer, arrival)
        if request.method == "GET":
            response.headers.append(self._cookie(self.cookies.door, door))
        return response

    def _entered(self, answer: EntranceAnswer, arrival: Arrival) -> Response:
        match answer:
            case SignedInNow():
                if answer.page is None:
                    response = redirect(answer.path)
                else:
                    response = self._entered(answer.page, arrival)
                token = answer.begun.token
                response.headers.append(self._cookie(self.cookies.sign_in, token))
                return response
            case Page():
                return html(
                    answer.template,
                    {**answer.values, "csrf": arrival.csrf, "path": arrival.path, **_nobody()},
                    language=arrival.language,
                    status=answer.status,
                )
            case Redirect():
                return redirect(answer.path)
            case Data():
                return json_answer(answer)
            case Download():
                return download(answer)

    # Who is.

    def _visit(self, request: Arrived, language: str) -> Response:
        token = request.cookies.get(self.cookies.sign_in)
        signed_in = None if token is None else flow.find(self.parts, token)
        if signed_in is None or token is None:
            return self._turned_away(request)
        if not self._persons.take(signed_in.person.id):
            raise RateLimited("Too many requests. Wait a moment.")
        language = self._language(request, signed_in)
        found = _matched(self.screens, request)
        form: Values = {}
        if request.method == "POST":
            form = read_form(request.body, request.headers.get("content-type"))
            self._check_sent_by_us(request, form, csrf_token(token))
        visit = self._visit_of(signed_in, token, form, request, language)
        try:
            if found is None:
                raise self._unknown(request)
            screen, path = found
            if not may_see(visit, screen):
                # What is the operator's own is not even there for others.
                if screen.operator_only and not visit.is_operator:
                    raise ResourceMissing("There is no such page.")
                raise PermissionDenied("Your roles do not allow this. Ask an admin.")
            with acting(visit.actor.signature, request.request_id):
                return self._screen(screen, path, visit, token, form)
        except SakkError as error:
            return self._refused(error, visit)

    def _turned_away(self, request: Arrived) -> Response:
        """To the page where one signs in, and from there back to where one wanted to go."""
        where = request.path + (f"?{request.query_string}" if request.query else "")
        wanted = f"?next={quote(where, safe='/')}" if request.method == "GET" else ""
        return redirect(SIGN_IN + wanted, is_htmx=request.is_htmx)

    def _visit_of(
        self, signed_in: SignedIn, token: str, form: Values, request: Arrived, language: str
    ) -> Visit:
        account_id = signed_in.sign_in.account_id
        own = signed_in.memberships
        if not signed_in.person.roles and not roles_in(own, account_id):
            account_id = own[0].account_id
        return Visit(
            signed_in=signed_in,
            account_id=account_id,
            parts=self.parts,
            settings=self.settings,
            now=self.parts.clock(),
            language=language,
            csrf=csrf_token(token),
            seed=seed_of(form.get(ONCE)),
            path=request.path,
            query_string=request.query_string,
            request_id=request.request_id,
            address=request.address,
            is_htmx=request.is_htmx,
        )

    def _unknown(self, request: Arrived) -> SakkError:
        if any(each.pattern.fullmatch(request.path) for each in self.screens):
            return MethodNotAllowed("This page is not asked for like that.")
        return ResourceMissing("There is no such page.")

    def _screen(
        self, screen: Screen, path: Mapping[str, str], visit: Visit, token: str, form: Values
    ) -> Response:
        given = form if screen.method == "POST" else read_query(visit.query_string.encode())
        proof, given = read_proof(given)
        if screen.step_up and not visit.stepped_up:
            if proof is None:
                return self._ask_for_proof(visit, given, None)
            try:
                visit, token = prove(visit, proof)
            except (StepUpFailed, StepUpRequired):
                again = visit.words.gettext("That was not right. Try again.")
                return self._ask_for_proof(visit, given, again)
        if screen.method == "POST" and screen.resource in UNKEPT:
            shown = json.dumps(_shown(given), sort_keys=True).encode()
            subject = next(iter(path.values()), None)
            note_act(
                self.parts.database, act=screen.path, path=visit.path, subject=subject, asked=shown
            )
        response = self._handled(screen, path, visit, given)
        if csrf_token(token) != visit.csrf or proof is not None:
            response.headers.append(self._cookie(self.cookies.sign_in, token))
        return response

    def _handled(
        self, screen: Screen, path: Mapping[str, str], visit: Visit, given: Values
    ) -> Response:
        arguments: dict[str, Any] = dict(path)
        try:
            if screen.form is not None:
                arguments[screen.place] = validate(screen.form, given, visit.words)
            answer = _done(screen, visit, arguments)
        except Faulty as error:
            if screen.again is None:
                raise _as_error(error) from None
            rejected = Rejected(_shown(given), error.faults, None)
            return self._given(screen.again(visit, rejected, **path), visit, status=422)
        except SakkError as error:
            if screen.again is None or error.status >= 500:
                raise
            told = visit.words.error(error)
            faults = {error.param: told} if error.param else {}
            rejected = Rejected(_shown(given), faults, told)
            return self._given(screen.again(visit, rejected, **path), visit, status=error.status)
        return self._given(answer, visit)

    def _given(self, answer: Answer, visit: Visit, *, status: int | None = None) -> Response:
        match answer:
            case Page():
                return self._page(answer, visit, status=status or answer.status)
            case Redirect():
                if answer.flash is not None:
                    told = {"text": answer.flash, "tone": answer.tone}
                    flow.tell(self.parts, visit.signed_in.sign_in.id, told)
                return redirect(answer.path, is_htmx=visit.is_htmx)
            case Download():
                return download(answer)
            case Data():
                return json_answer(answer)

    def _page(self, page: Page, visit: Visit, *, status: int) -> Response:
        template = page.template
        if visit.is_htmx and page.fragment is not None:
            template = page.fragment
        values = {**_nobody(), **page.values, **self._shell(visit)}
        return html(template, values, language=visit.language, status=status)

    def _shell(self, visit: Visit) -> dict[str, Any]:
        """What every template of the console knows."""
        flash = visit.signed_in.sign_in.flash
        if flash is not None:
            flow.tell(self.parts, visit.signed_in.sign_in.id, None)
        name = None
        if visit.account_id is not None:
            with visit.database.read() as connection:
                found = accounts.find_account(connection, visit.account_id)
            name = visit.account_id if found is None else found.name or found.id
        return {
            "visit": visit,
            "menu": menu(visit, self.screens),
            "flash": flash,
            "account_name": name,
            "theme": visit.person.theme,
            "csrf": visit.csrf,
            "once": new_once(),
            "path": visit.path_query,
        }

    def _ask_for_proof(self, visit: Visit, given: Values, fault: str | None) -> Response:
        """The form that was sent, kept as it is, with a question besides."""
        carried = kept({name: each for name, each in given.items() if name != CSRF})
        values = {"kept": carried, "fault": fault, "action": visit.path_query, **ways(visit)}
        return self._page(Page("console/step_up.html", values), visit, status=403)

    def _refused(self, error: SakkError, visit: Visit) -> Response:
        if error.status >= 500:
            log.error("console.failed", path=visit.path, request_id=visit.request_id)
        told = visit.words.error(error)
        values = {"status": error.status, "message": told, "id": visit.request_id}
        return self._page(Page("console/error.html", values), visit, status=error.status)

    def _refusal(self, error: SakkError, request: Arrived, language: str) -> Response:
        values = {
            "status": error.status,
            "message": languages.words(language).error(error),
            "id": request.request_id,
            "csrf": "",
            "path": request.path,
            **_nobody(),
        }
        return html("console/error.html", values, language=language, status=error.status)

    def _cookie(self, name: str, value: str) -> tuple[str, str]:
        return cookie(name, value, is_secure=self.cookies.is_secure)


def _done(screen: Screen, visit: Visit, arguments: Mapping[str, Any]) -> Answer:
    """What a screen answers. A form that came twice at once is answered twice, and done once.

    Both make their rows under the same ids: the second is refused when the first has committed, and
    finds then what that one made.
    """
    for is_last in (False, True):
        try:
            return screen.handler(visit, **arguments)
        except IntegrityError as error:
            if screen.method != "POST" or not is_duplicate(error):
                raise
            if is_last:
                raise UnexpectedState("This was sent twice, and is done once.") from None
    raise AssertionError("the second run answers or raises")


def _nobody() -> dict[str, Any]:
    """What the shell's templates know of who is not signed in."""
    nothing: list[tuple[str, list[MenuItem]]] = []
    return {"visit": None, "menu": nothing, "flash": None, "theme": None, "once": ""}


def _matched(table: Sequence[Any], request: Arrived) -> tuple[Any, dict[str, str]] | None:
    """The row of a table for a request, and what stands in its path; fixed paths come first."""
    for is_fixed in (True, False):
        for each in table:
            if each.method != request.method or ("{" not in each.path) != is_fixed:
                continue
            found = each.pattern.fullmatch(request.path)
            if found is not None and request.path.isprintable():
                return each, found.groupdict()
    return None


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _as_error(error: Faulty) -> SakkError:
    name, text = next(iter(error.faults.items()))
    return ParameterInvalid("{field}: {text}", param=name, field=name, text=text)


def _shown(given: Values) -> dict[str, Any]:
    """What was typed, to be shown again; files are chosen anew."""
    return {
        name: [each for each in value if isinstance(each, str)]
        if isinstance(value, list)
        else value
        for name, value in given.items()
        if not isinstance(value, Upload) and not name.startswith("_")
    }
