"""Claims: the one door without a key, for the payer who holds a link.

JSON for programs, a page for people, by the request's Accept. Neither needs a script or a cookie:
the token in the path is all there is to know, so nothing can be done in a payer's name by others.
"""

from collections.abc import Callable
from datetime import datetime

from sakk.api import claim_page
from sakk.api.answer import encode, known, refusal
from sakk.api.body import FORM, read_body
from sakk.api.dependencies import Dependencies
from sakk.api.limit import Limits
from sakk.api.parameters import Identifier, Strict, validate
from sakk.api.pipeline import Request
from sakk.core import claim as rules
from sakk.core.claim import Claim, claim_path
from sakk.core.errors import ParameterInvalid, ResourceMissing, SakkError, UnexpectedState
from sakk.core.evm import parse_address
from sakk.core.peer import client_address
from sakk.flow import claim as flow
from sakk.flow.idempotency import Answer
from sakk.flow.refund_draft import Place
from sakk.pages import page
from sakk.pages.language import choose_language
from sakk.store.identity import now as wall_clock

PATH = claim_path("{token}")
BODY_BYTES_MAX = 4_096


class ClaimGive(Strict):
    """Where to. Without ``confirm`` the address is only checked, and nothing is final."""

    network: Identifier
    address: Identifier
    confirm: bool = False


class ClaimDoor:
    """Answers for links; safe to call from many threads."""

    def __init__(
        self,
        dependencies: Dependencies,
        limits: Limits,
        clock: Callable[[], datetime] = wall_clock,
    ) -> None:
        self._dependencies = dependencies
        self._limits = limits
        self._clock = clock

    def answer(self, request: Request) -> tuple[Answer, dict[str, str]]:
        """One request's answer, and the headers that go with it besides the house's own."""
        wants_page = "text/html" in request.headers.get("accept", "")
        language = choose_language(request.headers.get("accept-language"))
        try:
            self._limits.count_claim(self._address(request))
            return self._done(request, language, wants_page=wants_page)
        except Exception as error:
            refused = refusal(error, request_id=request.request_id, public_url=self._public_url)
            told = known(error)
            if not wants_page:
                return refused, {}
            body = self._explained(request, told, language)
            wait = refused.retry_after_seconds
            answer = Answer(status=refused.status, body=body, retry_after_seconds=wait)
            return answer, page.headers(language)

    def _done(
        self, request: Request, language: str, *, wants_page: bool
    ) -> tuple[Answer, dict[str, str]]:
        token = request.path_parameters["token"]
        if not rules.is_token(token):
            raise ResourceMissing("There is no such claim. Check the link.", param="token")
        if request.method == "POST":
            claim = self._given(request, token)
        else:
            claim = self._looked_at(token)
        if not wants_page:
            return Answer(status=200, body=encode(rules.public(claim))), {
                "x-robots-tag": "noindex, nofollow"
            }
        shown = claim_page.render(claim, language=language, path=claim_path(token))
        return Answer(status=200, body=shown), page.headers(language)

    def _looked_at(self, token: str) -> Claim:
        with self._dependencies.database.begin() as connection:
            return flow.look(connection, rules.token_hash(token), now=self._clock())

    def _given(self, request: Request, token: str) -> Claim:
        wanted = _parameters(request)
        with self._dependencies.database.begin() as connection:
            return flow.give(
                connection,
                rules.token_hash(token),
                Place(wanted.network, wanted.address.strip()),
                now=self._clock(),
                confirm=wanted.confirm,
            )

    def _explained(self, request: Request, told: SakkError | None, language: str) -> bytes:
        """What went wrong, in the payer's words; a wrong address leaves the form as it was."""
        token = request.path_parameters["token"]
        path = claim_path(token)
        match told:
            case ResourceMissing():
                return claim_page.render(None, language=language, path=path)
            case UnexpectedState():
                # Sent twice, or too late: what became of it is what there is to say.
                return claim_page.render(self._looked_at(token), language=language, path=path)
            case ParameterInvalid() if rules.is_token(token):
                entered = _entered(request)
                claim = self._looked_at(token)
                return claim_page.render(
                    claim,
                    language=language,
                    path=path,
                    entered=entered,
                    fault=_fault(told, entered),
                )
            case _:
                return claim_page.render(None, language=language, path=path, step="busy")

    @property
    def _public_url(self) -> str:
        return self._dependencies.settings.public_url

    def _address(self, request: Request) -> str | None:
        return client_address(
            request.peer,
            request.headers.get("x-forwarded-for"),
            self._dependencies.settings.trusted_proxies,
        )


def _parameters(request: Request) -> ClaimGive:
    tree, typed = read_body(request.body, request.headers.get("content-type"))
    return validate(ClaimGive, tree, strict=typed)


def _entered(request: Request) -> claim_page.Entered:
    """What the form held; shown again, escaped, whatever it was."""
    if not request.headers.get("content-type", "").startswith(FORM):
        return claim_page.Entered()
    tree, _ = read_body(request.body, FORM)
    network, address = tree.get("network"), tree.get("address")
    return claim_page.Entered(
        network if isinstance(network, str) else "", address if isinstance(address, str) else ""
    )


def _fault(told: SakkError, entered: claim_page.Entered) -> str:
    if told.param in ("destination[network]", "network"):
        return "bad_network"
    try:
        parse_address(entered.address.strip())
    except ValueError:
        return "bad_address"
    return "not_yours"
