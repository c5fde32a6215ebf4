"""Pre-signed authorizations are taken in one by one, and none that is not its address's own."""

from collections.abc import Iterator

import pytest
from tests.flow.harness import World

from sakk.core.authorization import FileHeader, file_header, file_line
from sakk.core.errors import ParameterInvalid
from sakk.core.evm import Signature
from sakk.flow.authorization import import_authorizations
from sakk.store import authorization

DELEGATE = "0x" + "de" * 20


def lines(world: World, indexes: range, *, delegate: str = DELEGATE) -> Iterator[str]:
    """A file as ``sakk keys authorise`` writes it."""
    yield file_header(FileHeader(xpub=world.keystore.xpub, delegate=DELEGATE)) + "\n"
    for index in indexes:
        yield file_line(index, world.keystore.sign_authorization(index, delegate)) + "\n"


def test_a_file_is_taken_in_once(world: World) -> None:
    done: list[int] = []
    found = import_authorizations(
        world.database, lines(world, range(3)), now=world.clock(), progress=done.append
    )
    assert (found.delegate, found.lines, found.added, done) == (DELEGATE, 3, 3, [3])
    again = import_authorizations(world.database, lines(world, range(4)), now=world.clock())
    assert (again.lines, again.added) == (4, 1)
    with world.database.begin() as connection:
        assert authorization.count(connection, DELEGATE) == (4, 3)
        assert authorization.count(connection, "0x" + "11" * 20) == (0, None)


def test_a_signature_of_something_else_is_refused(world: World) -> None:
    other = lines(world, range(1), delegate="0x" + "11" * 20)
    with pytest.raises(ParameterInvalid, match="line 2: it is signed by"):
        import_authorizations(world.database, other, now=world.clock())
    [heading, first, _] = lines(world, range(2))
    moved = first.replace("0 ", "1 ", 1)
    with pytest.raises(ParameterInvalid, match="not by deposit address 1"):
        import_authorizations(world.database, [heading, moved], now=world.clock())
    for broken in ("", "0 00\n", file_line(1 << 31, Signature(0, 1, 1))):
        with pytest.raises(ParameterInvalid, match="line 3"):
            import_authorizations(world.database, [heading, first, broken], now=world.clock())
    with world.database.begin() as connection:
        assert authorization.count(connection, DELEGATE) == (0, None)


def test_a_file_of_another_wallet_is_refused(world: World) -> None:
    heading = file_header(FileHeader(xpub="xpub" + "6" * 107, delegate=DELEGATE))
    with pytest.raises(ParameterInvalid, match="another extended public key"):
        import_authorizations(world.database, [heading], now=world.clock())
    for wrong in ([], ["nonsense"]):
        with pytest.raises(ParameterInvalid, match="line 1"):
            import_authorizations(world.database, wrong, now=world.clock())
