"""Somebody who says rates over HTTP: a real server on loopback, which answers what a test says."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.serving import Handler, served


@dataclass(slots=True)
class Ticker:
    """Where it listens, and by path what it answers: a body, or a status."""

    url: str
    answers: dict[str, bytes | int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextmanager
def ticking() -> Iterator[Ticker]:
    """Serve until the end of the block."""

    class Answers(Handler):
        def do_GET(self) -> None:
            ticker.asked.append(self.path)
            answer = ticker.answers.get(self.path, 404)
            body = b"" if isinstance(answer, int) else answer
            status = answer if isinstance(answer, int) else 200
            self.say(status, body, {"Location": f"{ticker.url}/elsewhere"})

    with served(Answers) as url:
        ticker = Ticker(url)
        yield ticker
