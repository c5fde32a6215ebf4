"""Why a case was opened, in the person's language: it is kept as one line of English."""

import re
from collections.abc import Callable
from typing import Final

from sakk.console.rule_words import RuleWords
from sakk.console.screening import VERDICTS
from sakk.console.visit import Visit
from sakk.pages.language import mark

# What is filled in stands in the pattern by the name that the message has it by.
PATTERNS: Final = tuple(
    (re.compile(pattern, re.DOTALL), text)
    for pattern, text in (
        (
            r"The holder (?P<name>.+) is like (?P<matched>.+) of (?P<list>.+)"
            r" \((?P<score>\d+) of 1,000\), (?P<id>nsc_\w+)\.",
            mark("The holder {name} is like {matched} of {list} ({score} of 1,000), {id}."),
        ),
        (
            r"The sender (?P<name>.+) is like (?P<matched>.+) of (?P<list>.+), (?P<id>nsc_\w+)\.",
            mark("The sender {name} is like {matched} of {list}, {id}."),
        ),
        (
            r"(?P<name>.+) is like (?P<matched>.+) of (?P<list>.+) \((?P<score>\d+) of 1,000\)\.",
            mark("{name} is like {matched} of {list} ({score} of 1,000)."),
        ),
        (r"The review of this party is due\.", mark("The review of this party is due.")),
        (r"held by an earlier verdict", mark("It is held by an earlier verdict.")),
        (
            r"The other institution has no travel address: it can not be asked\.",
            mark("The other institution has no travel address: it can not be asked."),
        ),
        (r"The other institution did not agree\.", mark("The other institution did not agree.")),
        (
            r"The other institution could not be asked: (?P<why>.+)\.",
            mark("The other institution could not be asked: {why}."),
        ),
        (r"No answer came in time\.", mark("No answer came in time.")),
        (r"Nothing was told of it\.", mark("Nothing was told of it.")),
        (
            r"An officer says that all of it is told\.",
            mark("An officer says that all of it is told."),
        ),
        (r"An officer refuses it\.", mark("An officer refuses it.")),
        (
            r"Its sender is a blocked institution\.",
            mark("Its sender is a blocked institution."),
        ),
    )
)
_TRAVEL: Final = re.compile(r"Travel Rule (?P<record>trv_\w+): (?P<why>.+)", re.DOTALL)
_VERDICT: Final = re.compile(r"(?P<verdict>clear|review|block): (?P<rules>.+)", re.DOTALL)
_RULE: Final = re.compile(r"([^,]+) \((\w+)\)")


def why_in(visit: Visit) -> Callable[[str], str]:
    """How the page's language says why a case was opened."""
    gettext = visit.words.gettext
    words = RuleWords(visit)

    def why(reason: str) -> str:
        travel = _TRAVEL.fullmatch(reason)
        if travel is not None:
            return gettext("Travel Rule: {why}", why=why(travel["why"]))
        verdict = _VERDICT.fullmatch(reason)
        if verdict is not None:
            word = gettext(VERDICTS[verdict["verdict"]][0])
            return f"{word}: {_RULE.sub(rule, verdict['rules'])}"
        for pattern, text in PATTERNS:
            found = pattern.fullmatch(reason)
            if found is not None:
                return gettext(text, **found.groupdict())
        return reason

    def rule(found: re.Match[str]) -> str:
        return f"{words.name(found[1].strip())} ({words.word('categories', found[2])})"

    return why
