"""The policy file: what is written is read, and what is wrong is named."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sakk.core.errors import Misconfigured
from sakk.signing.policy import (
    Policy,
    load_policy,
    production_policy,
    sandbox_policy,
    write_policy,
)

NETWORK = "eip155:84532"
USDC = f"{NETWORK}/erc20:0x036cbd53842c5426634e7929541ec2318f3dcf7e"
KEY = "ab" * 32
NOBODY = 65_534

MakePolicy = Callable[..., Policy]


def with_everything() -> Policy:
    policy = production_policy([NETWORK, "eip155:1"], {USDC: 6, "eip155:1/slip44:60": 18})
    network = msgspec.structs.replace(
        policy.networks[0], cold_treasury_addresses=("0x" + "ab" * 20,)
    )
    asset = msgspec.structs.replace(
        policy.assets[0], approvals_above="1", destinations=("0x" + "cd" * 20,)
    )
    return msgspec.structs.replace(
        policy,
        frozen=True,
        treasury_indexes=(0, 3),
        approvers=(KEY, "cd" * 32),
        networks=(network, policy.networks[1]),
        assets=(asset, policy.assets[1]),
    )


@pytest.mark.parametrize(
    "policy",
    [
        with_everything(),
        sandbox_policy([NETWORK], {USDC: 6}),
        sandbox_policy([], {}),
        sandbox_policy([NETWORK], {}),
    ],
)
def test_written_and_read(tmp_path: Path, policy: Policy) -> None:
    path = tmp_path / "policy.toml"
    write_policy(path, policy)
    loaded, digest = load_policy(path)
    assert loaded == policy
    write_policy(path, policy)
    assert load_policy(path)[1] == digest
    write_policy(path, msgspec.structs.replace(policy, destination_time_lock_seconds=7))
    assert load_policy(path)[1] != digest


def test_the_defaults_are_generous_in_the_sandbox_and_strict_elsewhere() -> None:
    sandbox = sandbox_policy([NETWORK], {USDC: 6})
    assert sandbox.assets[0].per_transaction_max == "10000000000"
    assert sandbox.assets[0].per_day_max is None
    assert sandbox.destination_time_lock_seconds == 0
    production = production_policy([NETWORK], {USDC: 6})
    assert production.assets[0].per_transaction_max == "1000000000"
    assert production.assets[0].per_day_max == "10000000000"
    assert production.destination_time_lock_seconds == 86_400


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version is 2"),
        ({"destination_time_lock_seconds": -1}, "destination_time_lock_seconds"),
        ({"treasury_indexes": ()}, "treasury_indexes is empty"),
        ({"treasury_indexes": (-1,)}, "treasury_indexes are 0"),
        ({"approvers": ("zz",)}, "approvers holds 'zz'"),
        ({"approvers": (KEY.upper(), KEY)}, "approvers holds"),
        ({"approvers": (KEY, KEY)}, "approvers names something twice"),
        ({"approvers": (KEY,)}, "approvals_min is more"),
        ({"approvals_min": 0}, "approvals_min is below 1"),
        ({"network": {"network": "tron:0x2b6653dc"}}, "networks\\[0\\]: not an EVM"),
        ({"network": {"network": "eip155:1"}}, "assets\\[0\\].asset is on a network"),
        ({"network": {"gas_limit_max": 20_999}}, "gas_limit_max"),
        ({"network": {"max_fee_per_gas_max": "1.5"}}, "networks\\[0\\].max_fee_per_gas_max"),
        ({"network": {"fee_per_day_max": "-1"}}, "networks\\[0\\].fee_per_day_max"),
        ({"network": {"topup_per_day_max": ""}}, "networks\\[0\\].topup_per_day_max"),
        ({"network": {"cold_treasury_addresses": ("0x12",)}}, "networks\\[0\\]: not an EVM"),
        ({"asset": {"asset": "usdc"}}, "assets\\[0\\]: not a CAIP-19"),
        ({"asset": {"asset": USDC.replace("cbd", "CbD")}}, "assets\\[0\\]: .*checksum"),
        ({"asset": {"asset": USDC.upper().replace("EIP", "eip")}}, "assets\\[0\\]"),
        ({"asset": {"asset": f"{NETWORK}/slip44:0"}}, "assets\\[0\\]: neither"),
        ({"asset": {"per_transaction_max": "1" * 79}}, "per_transaction_max"),
        ({"asset": {"per_day_max": "x"}}, "assets\\[0\\].per_day_max"),
        ({"asset": {"approvals_above": "x"}}, "assets\\[0\\].approvals_above"),
        ({"asset": {"approvals_above": "1"}}, "approvers is empty"),
        ({"asset": {"destinations": ("0x12",)}}, "assets\\[0\\]: not an EVM"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    policy = sandbox_policy([NETWORK], {USDC: 6})
    network, asset = changes.pop("network", {}), changes.pop("asset", {})
    policy = msgspec.structs.replace(
        policy,
        networks=(msgspec.structs.replace(policy.networks[0], **network),),
        assets=(msgspec.structs.replace(policy.assets[0], **asset),),
        **changes,
    )
    with pytest.raises(ValueError, match=message):
        write_policy(tmp_path / "policy.toml", policy)
    assert list(tmp_path.iterdir()) == []


def test_assets_are_canonical_and_named_once(tmp_path: Path) -> None:
    policy = sandbox_policy([NETWORK], {USDC: 6})
    checksummed = f"{NETWORK}/erc20:0x036CbD53842c5426634e7929541eC2318f3dCF7e"
    asset = msgspec.structs.replace(policy.assets[0], asset=checksummed)
    for assets, message in (((asset,), "canonical form"), (policy.assets * 2, "assets names")):
        with pytest.raises(ValueError, match=message):
            write_policy(tmp_path / "p", msgspec.structs.replace(policy, assets=assets))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("version = 1", "version = '1'"), "Expected `int`"),
        (lambda text: text.replace("version = 1", "version = 9"), "version is 9"),
        (lambda text: text + "\n[extra]\nx = 1\n", "extra"),
        (lambda text: text.replace("\nper_transaction_max", "\nx"), "assets\\[0\\]"),
        (lambda text: "not toml", "policy.toml"),
        (lambda text: text + "#" * (1 << 20), "larger than"),
    ],
)
def test_a_file_that_was_edited_badly(
    tmp_path: Path, change: Callable[[str], str], message: str
) -> None:
    path = tmp_path / "policy.toml"
    write_policy(path, sandbox_policy([NETWORK], {USDC: 6}))
    path.write_text(change(path.read_text()))
    with pytest.raises(Misconfigured, match=message):
        load_policy(path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.touch(mode=0o600)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(Misconfigured, match="can't decode"):
        load_policy(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can write for another user")
def test_what_root_writes_belongs_to_who_owns_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    write_policy(tmp_path / "policy.toml", production_policy([NETWORK], {USDC: 6}))
    written = (tmp_path / "policy.toml").stat()
    assert (written.st_uid, written.st_gid, written.st_mode & 0o777) == (NOBODY, NOBODY, 0o600)
    assert load_policy(tmp_path / "policy.toml")[0].network(NETWORK) is not None
