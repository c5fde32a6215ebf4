"""The page of errors, from the error tree."""

import importlib
import pkgutil

import sakk
from sakk.core import errors
from sakk.core.errors import SakkError
from sakk.runtime.reference.markdown import code, page, rest, summary, table

# These import other programs or start them, and define no error of their own.
NOT_READ = ("sakk.bench", "sakk.cli", "sakk.client", "sakk.store.migrations")


def errors_page() -> str:
    """What the API answers, and what else stands in logs and on the command line."""
    found = error_classes()
    answered = [each for each in found if each.__module__ == errors.__name__]
    inside = [each for each in found if each.__module__ != errors.__name__]
    return page(
        "Errors",
        "An answer with a status of 400 or more has this body. `code` is for programs and is "
        "never renamed, `message` says what to do, `param` names the parameter that is wrong, "
        "`doc_url` leads to the meaning of the code, `request_id` stands in the server's log.",
        '```json\n{"error": {"type": "invalid_request_error", "code": "parameter_unknown", '
        '"message": "…", "param": "colour",\n'
        ' "doc_url": "…/docs/errors#parameter_unknown", "request_id": "req_…"}}\n```',
        "**Again** says whether the same request may succeed later. Answers with 409, 429, 500 and "
        "503 also carry `Stripe-Should-Retry`, and 429 carries `Retry-After`.",
        "## Answered by the API",
        table(
            ["code", "status", "type", "again", "meaning", "what to do"],
            [
                [
                    f'<a id="{each.code}"></a>{code(each.code)}',
                    str(each.status),
                    code(each.type),
                    "yes" if each.transient else "no",
                    summary(each),
                    rest(each),
                ]
                for each in answered
                if each is not SakkError
            ],
        ),
        f"A fault that nobody foresaw is answered with status {SakkError.status} and the code "
        f"{code(SakkError.code)}; the log has its details under the request's id.",
        "## Inside",
        "These stand in logs, in `error` fields and on the command line. One that reaches the API "
        "is answered with the same code.",
        table(
            ["code", "again", "meaning"],
            [
                [code(each.code), "yes" if each.transient else "no", summary(each)]
                for each in sorted(inside, key=lambda each: each.code)
            ],
        ),
    )


def error_classes() -> list[type[SakkError]]:
    """Every error of the code, in the order of the tree; each code once a meaning."""
    for module in pkgutil.walk_packages(sakk.__path__, "sakk."):
        if not module.name.startswith(NOT_READ):
            importlib.import_module(module.name)
    found: list[type[SakkError]] = []

    def walk(error: type[SakkError]) -> None:
        # What another test or command has imported must not change the page.
        if error.__module__.startswith("sakk.") and not error.__module__.startswith(NOT_READ):
            found.append(error)
        for child in error.__subclasses__():
            walk(child)

    walk(SakkError)
    return list(dict.fromkeys(found))
