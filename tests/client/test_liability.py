"""The offline verifier: written apart from the tree, it agrees with it and catches every cheat."""

import copy
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sakk.client import liability as verifier
from sakk.client.liability import LiabilityProofError, main, verify
from sakk.core import chart, liability
from sakk.core.ledger import account_id, unit_id
from sakk.core.liability import LiabilityEpoch, Tree

UNIT = "test/usdc"
SECRET = b"\x1d" * 32
Document = dict[str, Any]


class World:
    """An operator with merchants ``acct_0`` … and what it shows them."""

    def __init__(self, owed: list[int], *, epoch: int = 3, secret: bytes = SECRET) -> None:
        self.secret = secret
        self.tree = liability.build(
            secret, [(id_of(merchant), amount) for merchant, amount in enumerate(owed)]
        )
        self.row = epoch_row(self.tree, epoch, secret)
        self.epoch = liability.public_epoch(self.row, decimals=6)

    def proof(self, merchant: int) -> Document:
        firsts = [tile.first for tile in self.tree.tiles]
        number = liability.tile_of(firsts, liability.salt_of(self.secret, id_of(merchant)))
        found = liability.prove(
            self.secret,
            id_of(merchant),
            number=number,
            held=self.tree.tiles[number].held,
            tops=self.tree.tops,
        )
        assert found is not None
        return liability.public_proof(self.row, f"acct_{merchant}", [(name_of(merchant), found)])


def name_of(merchant: int) -> str:
    return chart.merchant(f"acct_{merchant}", "available", UNIT).name


def id_of(merchant: int) -> bytes:
    return account_id(name_of(merchant)).to_bytes(16, "big")


def epoch_row(tree: Tree, epoch: int, secret: bytes) -> LiabilityEpoch:
    subject = liability.Subject(unit_id(UNIT), epoch, 11, b"\x05" * 32)
    return LiabilityEpoch(
        id="le_1",
        livemode=False,
        shard=0,
        epoch=epoch,
        unit=UNIT,
        unit_id=unit_id(UNIT),
        sequence=11,
        journal_hash=b"\x05" * 32,
        as_of=datetime(2025, 12, 31, tzinfo=UTC),
        root_id=b"\x01" * 16,
        root=tree.root(subject),
        total=tree.total,
        leaves=tree.leaves,
        secret=secret,
        tops=tree.tops,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        journalled=datetime(2026, 1, 2, tzinfo=UTC),
    )


@given(st.lists(st.integers(0, 1 << 120), min_size=1, max_size=40), st.data())
def test_an_honest_proof_holds(owed: list[int], data: st.DataObject) -> None:
    world = World(owed)
    merchant = data.draw(st.integers(0, len(owed) - 1))
    proof = json.loads(json.dumps(world.proof(merchant)))
    assert verify(proof, world.epoch, account=f"acct_{merchant}") == owed[merchant]


@given(st.lists(st.integers(0, 1 << 120), min_size=1, max_size=20), st.data())
def test_no_number_and_no_byte_of_a_proof_may_change(owed: list[int], data: st.DataObject) -> None:
    world = World(owed)
    merchant = data.draw(st.integers(0, len(owed) - 1))
    proof, epoch = world.proof(merchant), copy.deepcopy(world.epoch)
    places: list[tuple[Document, str]] = [(proof["leaves"][0], "salt")]
    places += [(proof["leaves"][0], "balance"), (proof["leaves"][0], "index"), (proof, "balance")]
    places += [(step, name) for step in proof["leaves"][0]["path"] for name in ("hash", "sum")]
    places += [(epoch, name) for name in ("root", "journal_hash", "total", "leaves", "epoch")]
    places += [(epoch, "journal_sequence"), (epoch, "shard")]
    document, name = data.draw(st.sampled_from(places))
    change = data.draw(st.integers(1, 1 << 40))
    value = document[name]
    if isinstance(value, int):
        document[name] = value ^ change
    elif len(value) == 64 and name not in ("sum", "balance", "total"):
        document[name] = f"{int(value, 16) ^ change:064x}"
    else:
        document[name] = str(int(value) + change)
    with pytest.raises(LiabilityProofError):
        verify(proof, epoch, account=f"acct_{merchant}")


OWED = [100, 250, 0, 7, 1_000_000]


def _leaf(proof: Document) -> Document:
    found: Document = proof["leaves"][0]
    return found


def _set(place: Callable[[Document], Document], name: str, value: Any) -> Callable[..., None]:
    def change(proof: Document, epoch: Document) -> None:
        place(proof)[name] = value

    return change


def _publish(name: str, value: Any) -> Callable[..., None]:
    def change(proof: Document, epoch: Document) -> None:
        epoch[name] = value

    return change


def _lower_the_balance(proof: Document, epoch: Document) -> None:
    _leaf(proof)["balance"] = proof["balance"] = "249"


def _lower_the_balance_and_raise_a_sibling(proof: Document, epoch: Document) -> None:
    _lower_the_balance(proof, epoch)
    step = _leaf(proof)["path"][-1]
    step["sum"] = str(int(step["sum"]) + 1)


def _negative_sibling(proof: Document, epoch: Document) -> None:
    _leaf(proof)["path"][0]["sum"] = "-250"


def _overflowing_sibling(proof: Document, epoch: Document) -> None:
    _leaf(proof)["path"][0]["sum"] = str(verifier.SUM_MAX - 1)


def _swap_sides(proof: Document, epoch: Document) -> None:
    step = _leaf(proof)["path"][0]
    step["side"] = "left" if step["side"] == "right" else "right"


def _move_to_the_sibling(proof: Document, epoch: Document) -> None:
    _leaf(proof)["index"] ^= 1
    _swap_sides(proof, epoch)


def _present_a_node_as_a_leaf(proof: Document, epoch: Document) -> None:
    """The parent's two children have the bytes of salt, id and balance of nothing."""
    leaf = _leaf(proof)
    step = leaf["path"].pop(0)
    leaf["salt"] = step["hash"]
    leaf["balance"] = proof["balance"] = str(int(leaf["balance"]) + int(step["sum"]))
    leaf["index"] //= 2
    epoch["leaves"] = (epoch["leaves"] + 1) // 2


def _duplicate_the_leaf(proof: Document, epoch: Document) -> None:
    proof["leaves"].append(copy.deepcopy(_leaf(proof)))
    proof["balance"] = "500"


def _anothers_leaf(proof: Document, epoch: Document) -> None:
    proof["leaves"] = World(OWED).proof(4)["leaves"]
    proof["balance"] = "1000000"


def _anothers_leaf_under_our_name(proof: Document, epoch: Document) -> None:
    name = _leaf(proof)["ledger_account"]
    _anothers_leaf(proof, epoch)
    _leaf(proof)["ledger_account"] = name


def _another_epochs_proof(proof: Document, epoch: Document) -> None:
    proof.clear()
    proof.update(World(OWED, epoch=2).proof(1))


def _another_epochs_leaves(proof: Document, epoch: Document) -> None:
    """The same tree in another epoch has other salts; its way ends at another root."""
    proof["leaves"] = World(OWED, epoch=2, secret=b"\x08" * 32).proof(1)["leaves"]


def _a_tree_without_others(proof: Document, epoch: Document) -> None:
    """Omitted accounts: a smaller tree, shown to this account alone."""
    proof.clear()
    proof.update(World(OWED[:2]).proof(1))


def _shorter(proof: Document, epoch: Document) -> None:
    _leaf(proof)["path"].pop()


def _longer(proof: Document, epoch: Document) -> None:
    _leaf(proof)["path"].append({"hash": "00" * 32, "sum": "0", "side": "right"})


CHEATS: dict[str, tuple[Callable[[Document, Document], None], str]] = {
    "a lowered balance": (_lower_the_balance, "total"),
    "a lowered balance, the total kept": (_lower_the_balance_and_raise_a_sibling, "root"),
    "a negative sum": (_negative_sibling, "sum"),
    "an overflowing sum": (_overflowing_sibling, "sum"),
    "a sum beyond 128 bits": (
        _set(lambda proof: _leaf(proof)["path"][0], "sum", str(1 << 128)),
        "sum",
    ),
    "a negative balance": (_set(_leaf, "balance", "-1"), "sum"),
    "swapped sides": (_swap_sides, "side"),
    "another place": (_move_to_the_sibling, "root"),
    "an index beyond the leaves": (_set(_leaf, "index", 5), "index"),
    "a node as a leaf": (_present_a_node_as_a_leaf, "root"),
    "a leaf twice": (_duplicate_the_leaf, "account"),
    "another's leaf": (_anothers_leaf, "account"),
    "another's leaf under our name": (_anothers_leaf_under_our_name, "root"),
    "another epoch's proof": (_another_epochs_proof, "epoch"),
    "another epoch's leaves": (_another_epochs_leaves, "root"),
    "omitted accounts": (_a_tree_without_others, "epoch"),
    "a shorter path": (_shorter, "path"),
    "a longer path": (_longer, "path"),
    "another root published": (_publish("root", "00" * 32), "epoch"),
    "a lower total published": (_publish("total", "1000106"), "total"),
    "fewer leaves published": (_publish("leaves", 4), "path"),
    "another row of the journal": (_publish("journal_sequence", 12), "root"),
    "another history": (_publish("journal_hash", "06" * 32), "root"),
    "another unit": (_publish("unit", "usdc"), "epoch"),
    "another account": (_set(lambda proof: proof, "account", "acct_2"), "account"),
    "another sum than its leaves": (_set(lambda proof: proof, "balance", "251"), "balance"),
    "no leaves": (_set(lambda proof: proof, "leaves", []), "format"),
    "no proof": (_set(lambda proof: proof, "object", "payout"), "format"),
    "no epoch": (_publish("object", "liability_proof"), "format"),
    "a total that is a number": (_publish("total", 1_000_357), "format"),
    "a sum with a sign": (_set(lambda proof: _leaf(proof)["path"][0], "sum", "+1"), "format"),
    "a sum in other digits": (_set(lambda proof: _leaf(proof)["path"][0], "sum", "٣"), "format"),
    "a sum with zeros before it": (_set(_leaf, "balance", "0250"), "sum"),
    "an index that is true": (_set(_leaf, "index", True), "format"),
    "a hash in capitals": (_publish("journal_hash", "AB" * 32), "format"),
    "a path that is text": (_set(_leaf, "path", "no"), "format"),
    "a step that is text": (_set(_leaf, "path", ["no", "no", "no"]), "format"),
    "a name that is a number": (_set(_leaf, "ledger_account", 5), "format"),
}


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_refused_by_name(name: str) -> None:
    world = World(OWED)
    proof, epoch = world.proof(1), copy.deepcopy(world.epoch)
    assert len(_leaf(proof)["path"]) == 3  # under this secret it is not the leaf that goes up alone
    assert verify(proof, epoch, account="acct_1", balance=250) == 250
    cheat, check = CHEATS[name]
    cheat(proof, epoch)
    with pytest.raises(LiabilityProofError) as refused:
        verify(proof, epoch, account="acct_1")
    assert refused.value.check == check


def test_what_we_expect_is_compared() -> None:
    world = World(OWED)
    with pytest.raises(LiabilityProofError, match="250 is proved, 300 is expected") as refused:
        verify(world.proof(1), world.epoch, account="acct_1", balance=300)
    assert refused.value.check == "balance"


def test_the_flaw_of_the_first_summation_tree_is_not_ours() -> None:
    """Hash of the sum alone: a parent of (a, b) also shows (a + b - 1, 1). Here both are hashed."""
    world = World([60, 40])
    proof = world.proof(0)
    step = _leaf(proof)["path"][0]
    step["sum"], _leaf(proof)["balance"] = "99", "1"
    proof["balance"] = "1"
    with pytest.raises(LiabilityProofError) as refused:
        verify(proof, world.epoch, account="acct_0")
    assert refused.value.check == "root"


def test_both_name_the_same_tree() -> None:
    digest = hashlib.sha256(b"sakk.liability.leaf.1x").digest()
    assert verifier._hash(b"leaf", b"x") == digest
    assert verifier._unit_id(UNIT) == unit_id(UNIT)
    assert verifier._account_id(0, name_of(1)) == id_of(1)
    names = {
        chart.merchant("acct_1", each, UNIT).name  # type: ignore[arg-type]
        for each in verifier.BALANCES
    }
    names |= {each.name for each in (chart.pool("acct_1", UNIT), chart.unclaimed("acct_1", UNIT))}
    assert {f"{each}:acct_1#{UNIT}" for each in verifier.BESIDE} < names
    # Besides channels and gift cards, of which there are many.
    assert len(names) == len(liability.OWED) - 2


def _write(folder: Path, proof: Document, epoch: Document) -> list[str]:
    paths = [folder / "proof.json", folder / "epoch.json"]
    for path, document in zip(paths, (proof, epoch), strict=True):
        path.write_text(json.dumps(document))
    return [str(path) for path in paths]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(OWED)
    paths = _write(tmp_path, world.proof(1), world.epoch)
    assert main([*paths, "--account", "acct_1", "--balance", "250"]) == 0
    assert capsys.readouterr().out.startswith("YES: 250 smallest units of test/usdc owed to acct_1")
    assert main([*paths, "--account", "acct_1", "--balance", "251"]) == 1
    assert capsys.readouterr().out.startswith("NO (balance): ")


@pytest.mark.parametrize("content", ["", "{", "[" * 5_000, " " * (1 << 21), "\xff"])
def test_a_file_that_is_no_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (tmp_path / "x.json").write_text(content, "latin-1")
    broken = str(tmp_path / "x.json")
    assert main([broken, broken, "--account", "acct_1"]) == 1
    assert main([str(tmp_path / "none.json"), broken, "--account", "acct_1"]) == 1
    assert capsys.readouterr().out.count("NO (format): ") == 2


def test_it_runs_with_python_alone(tmp_path: Path) -> None:
    """No site-packages, no environment, no project: the file by itself, in an empty folder."""
    alone = tmp_path / "liability.py"
    alone.write_bytes(Path(verifier.__file__).read_bytes())
    world = World(OWED)
    arguments = [*_write(tmp_path, world.proof(4), world.epoch), "--account", "acct_4"]
    command = [sys.executable, "-I", "-S", str(alone), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("YES: 1000000 ")
