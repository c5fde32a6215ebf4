"""``sakk keys rotate``: give a treasury key up for another, step by step, safe to repeat.

Two halves: the signer's files (a key, the policy, the marks of what is retired) are changed where
they are, by who owns them; the rows are changed in the database, and the worker moves the coins. A
step that died half-way is repeated by the same command.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from sakk.cli.open import begin
from sakk.cli.out import Json, console, print_json
from sakk.cli.token import KeystoreKind, make_token_key, passphrase_file
from sakk.core.approval import rotation_message
from sakk.core.errors import Misconfigured, UnexpectedState
from sakk.core.hub import EXECUTE, encode_propose, encode_set_collector
from sakk.core.rotation import PREFIX, Rotation, RotationStatus
from sakk.flow import rotation as flow
from sakk.flow.context import Parts
from sakk.runtime.settings import Settings
from sakk.runtime.wiring import wired
from sakk.signing.approver import is_encrypted, sign_approval
from sakk.signing.keystore import KeyRing, retire_key
from sakk.signing.policy import Policy, RotationRule, load_policy, write_policy
from sakk.signing.protocol import Branch
from sakk.signing.server import SignerFiles, open_seeds, signer_files
from sakk.store import clone as clones
from sakk.store import hub as hubs
from sakk.store import rotation as store
from sakk.store.failpoint import failpoint
from sakk.store.identity import new_id

Identifier = Annotated[str | None, typer.Option(help="Which rotation (kr_…); the newest.")]


def rotate(
    reason: Annotated[str | None, typer.Argument(help="Why; begins a rotation.")] = None,
    source: Annotated[int, typer.Option("--from", min=0, help="The key that is given up.")] = 0,
    target: Annotated[int | None, typer.Option("--to", min=0, help="The key after it.")] = None,
    keystore: Annotated[
        KeystoreKind, typer.Option(help="Where the new key is: the seed's file, or a token.")
    ] = KeystoreKind.file,
    module: Annotated[Path | None, typer.Option(exists=True, help="The PKCS#11 library.")] = None,
    token: Annotated[str | None, typer.Option(help="The token's label.")] = None,
    label: Annotated[str | None, typer.Option(help="The key's label in the token.")] = None,
    approvals: Annotated[int, typer.Option(min=0, help="So many approvers have to sign it.")] = 0,
    rotation: Identifier = None,
    show: Annotated[bool, typer.Option("--status", help="What is left where.")] = False,
    go_on: Annotated[bool, typer.Option("--continue", help="Take the next step.")] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="Call it off; before money moved.")
    ] = False,
    approve: Annotated[
        Path | None, typer.Option(exists=True, help="Sign it with this approver's key.")
    ] = None,
    leave: Annotated[
        list[str] | None, typer.Option(help="An asset that can not be moved and may stay.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Give a treasury key up for another: announce it, let the coins move, retire the old key.

    `sakk keys rotate "yearly" --to 1` begins, `--continue` takes the next step, and both may be
    repeated. The old address is watched for ever; coins that come to it later move by `--continue`.
    """
    settings = begin(log_level="warning")
    with wired(settings, signer=True) as parts:
        if reason is not None:
            if target is None:
                raise typer.BadParameter("say which key comes after it: --to INDEX")
            if keystore is KeystoreKind.pkcs11:
                _make_key(settings, target, module=module, token=token, label=label)
            _allow(settings, RotationRule(source=source, target=target, approvals=approvals))
            row = flow.announce(
                parts,
                source_index=source,
                target_index=target,
                reason=reason,
                identifier=new_id(PREFIX),
            )
        else:
            row = _find(parts, rotation)
            if approve is not None:
                row = _approve(parts, row, approve)
            if leave:
                row = flow.leave(parts, row.id, leave)
            if abort:
                row = flow.abort(parts, row.id)
                _forbid(settings, row)
            elif go_on:
                row = _continue(settings, parts, row)
            elif not (show or approve or leave):
                raise typer.BadParameter("say why a key is given up, or give --status")
        _report(parts, row, as_json=as_json)


def _find(parts: Parts, identifier: str | None) -> Rotation:
    with parts.database.begin() as connection:
        if identifier is not None:
            return flow.found(connection, identifier)
        known = store.list_rotations(connection)
    if not known:
        raise UnexpectedState(
            'There is no rotation: `sakk keys rotate "why" --to INDEX` begins one.'
        )
    return known[0]


def _continue(settings: Settings, parts: Parts, row: Rotation) -> Rotation:
    """The next step; the files are marked before the row says so, and only when all is empty."""
    if row.status != RotationStatus.moving:
        return flow.begin(parts, row.id)
    flow.require_empty(parts, row)
    failpoint("rotation.mark.before")
    _retire_files(settings, row)
    failpoint("rotation.mark.after")
    return flow.retire(parts, row.id)


def _make_key(
    settings: Settings, index: int, *, module: Path | None, token: str | None, label: str | None
) -> None:
    """A key in the token, or the one that an earlier try made there."""
    from sakk.signing.pkcs11 import read_token_file

    files = signer_files(settings.data_dir)
    if module is None or token is None:
        raise typer.BadParameter("a token needs --module and --token")
    known = read_token_file(files.token).treasury if files.token.exists() else ()
    if index in {key.index for key in known}:
        return
    if not files.keystore.exists():
        raise Misconfigured("make it with `sakk keys init --keystore pkcs11` first, then rotate")
    rest = open_seeds(files, passphrase_file(settings, files).read_text().strip())
    make_token_key(
        settings,
        files,
        module=module,
        token=token,
        index=index,
        label=label,
        xpub=rest.xpub,
        rest=rest,
    )
    console.print("Restart the signer: it knows the token's new key from its next start on.")


def _allow(settings: Settings, rule: RotationRule) -> None:
    """Name the pair in the signer's policy; on another machine than its own its owner does."""
    files = signer_files(settings.data_dir)
    if not files.policy.exists():
        return
    policy, _ = load_policy(files.policy)
    others = tuple(each for each in policy.rotations if each.source != rule.source)
    indexes = tuple(sorted({*policy.treasury_indexes, rule.target}))
    _rewrite(files, policy, treasury_indexes=indexes, rotations=(*others, rule))


def _forbid(settings: Settings, row: Rotation) -> None:
    """Take an aborted pair out of the signer's policy, and the key that was made for it."""
    files = signer_files(settings.data_dir)
    if not files.policy.exists():
        return
    policy, _ = load_policy(files.policy)
    kept = tuple(each for each in policy.rotations if each.source != row.source_index)
    indexes = policy.treasury_indexes
    if row.target_role is None:
        indexes = tuple(each for each in indexes if each != row.target_index)
    _rewrite(files, policy, treasury_indexes=indexes, rotations=kept)


def _retire_files(settings: Settings, row: Rotation) -> None:
    """Mark the key in its keystore, then have the policy pay with it no more."""
    files = signer_files(settings.data_dir)
    if not files.policy.exists():
        return
    if not (files.token.exists() and _retire_in_token(files, row.source_index)):
        word = passphrase_file(settings, files).read_text().strip()
        opened = open_seeds(files, word)
        if isinstance(opened, KeyRing):
            opened = opened.store_of(Branch.treasury, row.source_index)
        retire_key(opened.path, word, row.source_index)
    policy, _ = load_policy(files.policy)
    _rewrite(
        files,
        policy,
        treasury_indexes=tuple(i for i in policy.treasury_indexes if i != row.source_index),
        gas_indexes=tuple(i for i in policy.gas_indexes if i != row.source_index),
    )


def _retire_in_token(files: SignerFiles, index: int) -> bool:
    from sakk.signing.pkcs11 import retire_token_key

    return retire_token_key(files.token, index)


def _rewrite(files: SignerFiles, before: Policy, **changes: Any) -> None:
    """Change the policy file, and keep the one before it; again it changes nothing."""
    after = msgspec.structs.replace(before, **changes)
    if after == before:
        return
    files.policy.with_suffix(".toml.before").write_bytes(files.policy.read_bytes())
    files.policy.with_suffix(".toml.before").chmod(0o600)
    write_policy(files.policy, after)


def _approve(parts: Parts, row: Rotation, key: Path) -> Rotation:
    word = typer.prompt("Passphrase", hide_input=True) if is_encrypted(key) else None
    message = rotation_message(source=row.source, target=row.target)
    public_key, signature = sign_approval(key, message, word)
    return flow.approve(parts, row.id, public_key=public_key, signature=signature)


def _report(parts: Parts, row: Rotation, *, as_json: bool) -> None:
    document = flow.status(parts, row)
    document["cold_calls"] = _cold_calls(parts, row)
    document["next"] = _next(document)
    if as_json:
        print_json(document)
        return
    console.print(f"{row.id}  {row.status}: {document['source']} → {document['target']}")
    for each in document["networks"]:
        state = "empty" if each["empty"] else f"{each['in_flight']} under way, has {each['units']}"
        console.print(f"  {each['network']}: {state}")
    for call in document["cold_calls"]:
        console.print(f"  {call['by']}: to {call['to']}, {call['call']}")
        console.print(f"    data {call['data']}")
    console.print(document["next"])


def _cold_calls(parts: Parts, row: Rotation) -> list[dict[str, str]]:
    """What the cold key calls for every hub and factory that knows the old address."""
    if row.status == RotationStatus.aborted:
        return []
    with parts.database.begin() as connection:
        known = hubs.list_hubs(connection)
        makers = clones.list_factories(connection)
    paying = {(each.network, each.address) for each in known if each.treasury == row.source}
    paying |= {(each.network, each.hub) for each in makers if each.treasury == row.source}
    obeying = {(each.network, each.address) for each in makers if each.recoverer == row.source}
    moved = (
        ("cold key", "propose", encode_propose(row.target)),
        ("anyone, after the delay", "execute", EXECUTE),
    )
    calls = (
        ("cold key, at once", "setCollector", encode_set_collector(row.target, allowed=True)),
        *moved,
        ("cold key, at last", "setCollector", encode_set_collector(row.source, allowed=False)),
    )
    return [
        {"network": network, "by": by, "to": place, "call": name, "data": "0x" + data.hex()}
        for places, wanted in ((paying, calls), (obeying, moved))
        for network, place in sorted(places)
        for by, name, data in wanted
    ]


def _next(document: dict[str, Any]) -> str:
    match RotationStatus(document["status"]):
        case RotationStatus.announced:
            return "Next: the approvers sign (--approve KEYFILE) where the policy asks, --continue."
        case RotationStatus.moving if _is_done(document["networks"]):
            return "All is moved. Next: --continue retires the old key."
        case RotationStatus.moving:
            return "The worker moves what is there. Next: wait, and look again with --status."
        case RotationStatus.retired if _is_done(document["networks"]):
            return "Done. The old address is watched for ever."
        case RotationStatus.retired:
            return "Coins came to the old address. Next: --continue moves them."
        case RotationStatus.aborted:
            return "Nothing moved: both addresses do what they did before."


def _is_done(networks: Sequence[dict[str, Any]]) -> bool:
    return all(
        each["empty"] and not each["hub_pays_it"] and not each["factory_obeys_it"]
        for each in networks
    )
