"""The signer's own policy: a TOML file beside its keystore, which no other process writes.

Amounts are strings of decimal digits in atomic units (wei for fees and top-ups): TOML's integers
end at 64 bits. What the file does not name is not allowed. The signer reads the file again when it
changes, and signs nothing while it is unreadable.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from sakk.core import caip, evm, hd
from sakk.core.errors import Misconfigured, ParameterInvalid
from sakk.core.hub import TRANSACTION_GAS_MAX
from sakk.core.policy import Action, Amount, Period, Rule, check_rules
from sakk.core.role import Role
from sakk.signing.files import check_private, write_private

VERSION: Final = 1
FILE_BYTES_MAX: Final = 1024 * 1024
GWEI: Final = 10**9
ETHER: Final = 10**18
PUBLIC_KEY_BYTES: Final = 32
DIGITS_MAX: Final = 78
UNITS_ANY: Final = str(2**256 - 1)
# EVM networks count every native coin in wei.
NATIVE_DECIMALS: Final = 18
DECIMALS_MAX: Final = 36
_SYMBOL: Final = re.compile(r"[A-Za-z0-9.$₮+-]{1,20}")


class NetworkRule(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What one network may cost. Fees are in wei; a day is the last 24 hours.

    ``fee_per_day_max`` counts the most that signed transactions can cost, gas limit times price.
    ``cold_treasury_addresses`` are destinations of sweeps and withdrawals whose keys are elsewhere;
    a withdrawal to one needs ``withdrawal_approvals_min`` of the approvers' signatures.
    ``hub`` may be called to collect, and deposit addresses may run the code at ``delegate``;
    without them nothing is collected that way. A factory of ``factories`` may be called to collect
    from its clones, and to recover from them. One such call may take ``collect_gas_limit_max``.
    A key of ``gas_indexes`` is funded within ``gas_key_per_transaction_max`` and
    ``gas_key_per_day_max``; without them like any other treasury address.
    """

    network: str
    gas_limit_max: int
    max_fee_per_gas_max: str
    fee_per_day_max: str
    topup_per_transaction_max: str
    topup_per_day_max: str
    cold_treasury_addresses: tuple[str, ...] = ()
    withdrawal_approvals_min: int = 0
    hub: str | None = None
    delegate: str | None = None
    factories: tuple[str, ...] = ()
    collect_gas_limit_max: int = TRANSACTION_GAS_MAX
    gas_key_per_transaction_max: str | None = None
    gas_key_per_day_max: str | None = None


class AssetRule(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """How much of one asset may leave by payouts and refunds, in atomic units.

    Above ``approvals_above`` a payout needs `Policy.approvals_min` approvals. Without
    ``per_day_max`` no day limits it. With ``destinations``, no other address may be paid. With
    ``decimals`` and ``symbol`` the signer's words say amounts as people do.
    """

    asset: str
    per_transaction_max: str
    per_day_max: str | None = None
    approvals_above: str | None = None
    destinations: tuple[str, ...] | None = None
    decimals: int | None = None
    symbol: str | None = None


class SignerRule(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """One rule, as `sakk.core.policy.Rule`, over what the signer knows for itself.

    Amounts are atomic units of the one asset that the rule then names; a period is ``per``
    destination or all, and adds up what this signer signed. With the action ``approve``,
    ``approvals`` of the ``approvers`` (without them: of the file's) must have signed the payment.
    """

    name: str
    action: Action
    approvals: int | None = None
    approvers: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    amount: Amount | None = None
    period: Period | None = None

    def rule(self) -> Rule:
        """The same, as the core judges it."""
        return Rule(
            name=self.name,
            action=self.action,
            approvals=self.approvals,
            role=Role.approver.value if self.action is Action.approve else None,
            assets=self.assets,
            networks=self.networks,
            purposes=self.purposes,
            destinations=self.destinations,
            amount=self.amount,
            period=self.period,
        )


class RecoveryRule(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What may go back from a deposit address to who paid it by mistake, at most ``units_max``.

    Of one ``asset``; without it of any token of the network that ``assets`` does not name. With
    ``destinations``, to no other address. ``approvals_min`` of the approvers must have signed it.
    """

    network: str
    units_max: str
    asset: str | None = None
    approvals_min: int = 0
    destinations: tuple[str, ...] | None = None


class RotationRule(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """The treasury key ``source`` may give its coins to the key ``target``, and to nobody else.

    With ``approvals``, when so many of the file's approvers have signed that it does. A source that
    ``treasury_indexes`` does not name any more does nothing else.
    """

    source: int
    target: int
    approvals: int = 0


class Policy(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """The whole file.

    A destination that was never paid waits ``destination_time_lock_seconds`` from the first request
    that names it. ``approvers`` are Ed25519 public keys in hexadecimal. With ``rules`` the first
    that fits a payment decides, and what none fits is not signed; the limits of ``networks`` and
    ``assets`` hold besides. ``lift_approvals``: so many of the approvers may end a freeze by what
    they signed; 0, and nobody ends one but at the signer's files. ``gas_indexes``: treasury keys
    that order gas and collections, and pay nobody. ``capture_indexes``: treasury keys that carry
    out what payers signed, and pay nobody. With ``capture_for_anyone`` such coins may go to
    whomever the payer names, and not to deposit addresses of this signer alone.
    """

    version: int
    frozen: bool = False
    destination_time_lock_seconds: int
    treasury_indexes: tuple[int, ...] = (0,)
    gas_indexes: tuple[int, ...] = ()
    capture_indexes: tuple[int, ...] = ()
    capture_for_anyone: bool = False
    approvals_min: int = 2
    approvers: tuple[str, ...] = ()
    lift_approvals: int = 0
    networks: tuple[NetworkRule, ...]
    assets: tuple[AssetRule, ...]
    rules: tuple[SignerRule, ...] | None = None
    recoveries: tuple[RecoveryRule, ...] = ()
    rotations: tuple[RotationRule, ...] = ()

    @property
    def unpaying(self) -> tuple[int, ...]:
        """The keys that are for something else than to pay."""
        return (*self.gas_indexes, *self.capture_indexes)

    @property
    def leaving(self) -> tuple[int, ...]:
        """The keys that have a successor."""
        return tuple(rule.source for rule in self.rotations)

    def rotation(self, source: int) -> RotationRule | None:
        """The rule of a key that has a successor."""
        return next((rule for rule in self.rotations if rule.source == source), None)

    def recovery(self, network: str, asset: str, *, any_token: bool) -> RecoveryRule | None:
        """The rule that names an asset, or else, if that may do, the one for any token."""
        rules = [rule for rule in self.recoveries if rule.network == network]
        named = next((rule for rule in rules if rule.asset == asset), None)
        if named is not None or not any_token:
            return named
        return next((rule for rule in rules if rule.asset is None), None)

    def network(self, network: str) -> NetworkRule | None:
        """The rule of a network, or None: it is not allowed."""
        return next((rule for rule in self.networks if rule.network == network), None)

    def asset(self, asset: str) -> AssetRule | None:
        """The rule of an asset, or None: it is not allowed."""
        return next((rule for rule in self.assets if rule.asset == asset), None)


def load_policy(path: Path) -> tuple[Policy, str]:
    """Read and check a policy file; return it and its digest (SHA-256, hexadecimal).

    Misconfigured names the field that is wrong.
    """
    check_private(path)
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise Misconfigured(f"{path} is larger than {FILE_BYTES_MAX} bytes")
    try:
        policy = msgspec.toml.decode(content, type=Policy)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path}: {error}") from None
    try:
        check_policy(policy)
    except ValueError as error:
        raise Misconfigured(f"{path}: {error}") from None
    return policy, hashlib.sha256(content).hexdigest()


def write_policy(path: Path, policy: Policy) -> None:
    """Check a policy and write it, mode 0600, in one step."""
    check_policy(policy)
    write_private(path, render_policy(policy).encode(), replace=True)


def check_policy(policy: Policy) -> None:
    """Check what types cannot say; ValueError names the field."""
    if policy.version != VERSION:
        raise ValueError(f"version is {policy.version}, this signer reads {VERSION}")
    if policy.destination_time_lock_seconds < 0:
        raise ValueError("destination_time_lock_seconds is negative")
    if not policy.treasury_indexes:
        raise ValueError("treasury_indexes is empty")
    for name in ("treasury_indexes", "gas_indexes", "capture_indexes"):
        indexes = getattr(policy, name)
        if any(not 0 <= index <= hd.INDEX_MAX for index in indexes):
            raise ValueError(f"{name} are 0 to {hd.INDEX_MAX}")
        _check_unique([str(index) for index in indexes], name)
    for name in ("gas_indexes", "capture_indexes"):
        both = set(policy.treasury_indexes) & set(getattr(policy, name))
        if both:
            raise ValueError(f"{name} names {min(both)}, which treasury_indexes lets pay anyone")
    _check_approvers(policy)
    _check_rotations(policy)
    for place, network in enumerate(policy.networks):
        _check_network(network, f"networks[{place}]")
        _check_approvals_min(
            network.withdrawal_approvals_min, policy, f"networks[{place}].withdrawal_approvals_min"
        )
    for place, asset in enumerate(policy.assets):
        _check_asset(asset, policy, f"assets[{place}]")
    for place, recovery in enumerate(policy.recoveries):
        _check_recovery(recovery, policy, f"recoveries[{place}]")
    _check_unique([f"{rule.network} {rule.asset}" for rule in policy.recoveries], "recoveries")
    _check_unique([rule.network for rule in policy.networks], "networks")
    _check_unique([rule.asset for rule in policy.assets], "assets")
    _check_rules(policy)


def with_coins(policy: Policy, coins: Mapping[str, tuple[str, int]]) -> Policy:
    """The same limits, with what each asset is called and how many decimals it has."""
    assets = tuple(
        msgspec.structs.replace(rule, symbol=coins[rule.asset][0], decimals=coins[rule.asset][1])
        if rule.asset in coins
        else rule
        for rule in policy.assets
    )
    return msgspec.structs.replace(policy, assets=assets)


def wrong_coins(policy: Policy, coins: Mapping[str, tuple[str, int]]) -> list[str]:
    """What the file says of an asset's symbol and decimals otherwise than ``coins`` do."""
    return [
        f"{rule.asset} has {rule.decimals} decimals and the symbol {rule.symbol} in the file,"
        f" {coins[rule.asset][1]} and {coins[rule.asset][0]} in the database"
        for rule in policy.assets
        if rule.decimals is not None
        and rule.asset in coins
        and coins[rule.asset] != (rule.symbol, rule.decimals)
    ]


def sandbox_policy(
    networks: Sequence[str], assets: Mapping[str, int], *, whole_max: int = 10_000
) -> Policy:
    """Generous limits for test money: no time lock, no velocity, ``whole_max`` units a payout.

    ``assets`` maps CAIP-19 assets to their decimals.
    """
    return Policy(
        version=VERSION,
        destination_time_lock_seconds=0,
        capture_for_anyone=True,
        networks=tuple(
            NetworkRule(
                network=network,
                gas_limit_max=1_000_000,
                max_fee_per_gas_max=str(10_000 * GWEI),
                fee_per_day_max=str(1_000_000 * ETHER),
                topup_per_transaction_max=str(ETHER),
                topup_per_day_max=str(1_000_000 * ETHER),
            )
            for network in networks
        ),
        assets=tuple(
            AssetRule(asset=asset, per_transaction_max=str(whole_max * 10**decimals))
            for asset, decimals in assets.items()
        ),
        # Test tokens come and go; what is listed goes back to its payer too.
        recoveries=(
            *(RecoveryRule(network=network, units_max=UNITS_ANY) for network in networks),
            *(
                RecoveryRule(network=caip.asset_network(asset), asset=asset, units_max=UNITS_ANY)
                for asset in assets
            ),
        ),
    )


def production_policy(networks: Sequence[str], assets: Mapping[str, int]) -> Policy:
    """Strict limits to begin with; an operator raises them by editing the file.

    Per asset 1,000 whole units a payout and 10,000 a day; a new destination waits a day; the native
    coin tops up 0.01 at once and 1 a day; fees are capped at 200 gwei and 1 coin a day.
    """
    return Policy(
        version=VERSION,
        destination_time_lock_seconds=86_400,
        networks=tuple(
            NetworkRule(
                network=network,
                gas_limit_max=300_000,
                max_fee_per_gas_max=str(200 * GWEI),
                fee_per_day_max=str(ETHER),
                topup_per_transaction_max=str(ETHER // 100),
                topup_per_day_max=str(ETHER),
            )
            for network in networks
        ),
        assets=tuple(
            AssetRule(
                asset=asset,
                per_transaction_max=str(1_000 * 10**decimals),
                per_day_max=str(10_000 * 10**decimals),
            )
            for asset, decimals in assets.items()
        ),
    )


def render_policy(policy: Policy) -> str:
    """Write a policy as TOML."""
    document = msgspec.to_builtins(policy)
    tables = {name: document.pop(name) for name in ("networks", "assets")}
    tables["rules"] = document.pop("rules", None) or ()
    if policy.rules == ():
        document["rules"] = []
    for name in ("recoveries", "rotations"):
        tables[name] = document.pop(name, ())
    lines = ["# The signer's policy. Amounts are atomic units (wei for fees), as strings."]
    lines += [f"{key} = {_render(value)}" for key, value in document.items()]
    for name, rows in tables.items():
        if not rows and name in ("networks", "assets"):
            lines.insert(1, f"{name} = []")
        lines += _table(name, rows)
    return "\n".join(lines) + "\n"


def render_rules(rules: Sequence[SignerRule]) -> str:
    """Rules as the section of a policy file that holds them."""
    rows: list[dict[str, object]] = msgspec.to_builtins(list(rules))
    return "\n".join(_table("rules", rows)).lstrip("\n") + "\n"


def _table(name: str, rows: Sequence[Mapping[str, object]]) -> list[str]:
    lines = []
    for row in rows:
        lines += ["", f"[[{name}]]"]
        lines += [f"{key} = {_render(value)}" for key, value in row.items()]
    return lines


def _render(value: object) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_render(each)}" for key, each in value.items())
        return f"{{ {inside} }}"
    # A JSON string, number, boolean or list of those is the same text in TOML.
    return msgspec.json.encode(value).decode()


def _check_approvers(policy: Policy) -> None:
    for key in policy.approvers:
        try:
            length = len(bytes.fromhex(key))
        except ValueError:
            length = 0
        if length != PUBLIC_KEY_BYTES or key != key.lower():
            raise ValueError(f"approvers holds {key!r}, not 64 lower-case hexadecimal digits")
    _check_unique(policy.approvers, "approvers")
    if policy.approvals_min < 1:
        raise ValueError("approvals_min is below 1")
    if policy.lift_approvals == 1 or not 0 <= policy.lift_approvals <= len(policy.approvers):
        raise ValueError("lift_approvals is 0, or 2 and more up to as many as approvers names")
    if policy.approvers and len(policy.approvers) < policy.approvals_min:
        raise ValueError("approvals_min is more than there are approvers")


def _check_rotations(policy: Policy) -> None:
    for place, rule in enumerate(policy.rotations):
        name = f"rotations[{place}]"
        if rule.source == rule.target or not 0 <= rule.source <= hd.INDEX_MAX:
            raise ValueError(f"{name}.source is another key than target, 0 to {hd.INDEX_MAX}")
        if rule.target not in policy.treasury_indexes:
            raise ValueError(
                f"{name}.target is {rule.target}, which treasury_indexes does not name"
            )
        if not 0 <= rule.approvals <= len(policy.approvers):
            raise ValueError(f"{name}.approvals is 0 to {len(policy.approvers)}, as many as sign")
    _check_unique([str(rule.source) for rule in policy.rotations], "rotations")


def _check_rules(policy: Policy) -> None:
    """The rules as the core has them, less what this signer can not know."""
    for place, each in enumerate(policy.rules or ()):
        name = f"rules[{place}]"
        for field in ("amount", "period"):
            found = getattr(each, field)
            if found is not None and (found.unit != "smallest" or len(each.assets) != 1):
                raise ValueError(f"{name}.{field} is in atomic units: name one asset, and no unit")
        if each.period is not None and each.period.per not in ("destination", "all"):
            raise ValueError(f"{name}.period.per is destination or all: no more is known here")
        if any(not entry.startswith("0x") for entry in each.destinations):
            raise ValueError(f"{name}.destinations are addresses")
        if each.action is not Action.approve:
            if each.approvals is not None or each.approvers:
                raise ValueError(f"{name}.approvals belong to the action approve")
            continue
        named = each.approvers or policy.approvers
        if not set(each.approvers) <= set(policy.approvers):
            raise ValueError(f"{name}.approvers names a key that approvers does not")
        if each.approvals is None or not 1 <= each.approvals <= len(named):
            raise ValueError(f"{name}.approvals is 1 to {len(named)}, as many as there are")
    try:
        check_rules([each.rule() for each in policy.rules or ()])
    except ParameterInvalid as error:
        raise ValueError(f"{error.param}: {error.message}") from None


def _check_network(rule: NetworkRule, name: str) -> None:
    try:
        caip.chain_id(rule.network)
        named = (*rule.cold_treasury_addresses, *rule.factories, rule.hub, rule.delegate)
        for address in named:
            if address is not None:
                evm.parse_address(address)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if (rule.hub is None) != (rule.delegate is None):
        raise ValueError(f"{name} names a hub without its delegate, or a delegate without its hub")
    if rule.gas_limit_max < 21_000:
        raise ValueError(f"{name}.gas_limit_max is below 21,000, the least that a transfer costs")
    for field in (
        "max_fee_per_gas_max",
        "fee_per_day_max",
        "topup_per_transaction_max",
        "topup_per_day_max",
    ):
        _check_units(getattr(rule, field), f"{name}.{field}")
    for field in ("gas_key_per_transaction_max", "gas_key_per_day_max"):
        if getattr(rule, field) is not None:
            _check_units(getattr(rule, field), f"{name}.{field}")


def _check_asset(rule: AssetRule, policy: Policy, name: str) -> None:
    try:
        canonical = str(caip.parse_asset(rule.asset))
        caip.erc20_contract(rule.asset)
        for address in rule.destinations or ():
            evm.parse_address(address)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if rule.asset != canonical:
        raise ValueError(f"{name}.asset is not in its canonical form {canonical!r}")
    if policy.network(caip.asset_network(rule.asset)) is None:
        raise ValueError(f"{name}.asset is on a network that networks does not name")
    _check_coin(rule, name)
    _check_units(rule.per_transaction_max, f"{name}.per_transaction_max")
    if rule.per_day_max is not None:
        _check_units(rule.per_day_max, f"{name}.per_day_max")
    if rule.approvals_above is not None:
        _check_units(rule.approvals_above, f"{name}.approvals_above")
        if not policy.approvers:
            raise ValueError(f"{name}.approvals_above is set, but approvers is empty")


def _check_coin(rule: AssetRule, name: str) -> None:
    """Wrong decimals would make the words lie, so what can be known without a chain is held."""
    if (rule.decimals is None) != (rule.symbol is None):
        raise ValueError(f"{name} has decimals without a symbol, or a symbol without decimals")
    if rule.decimals is None or rule.symbol is None:
        return
    if not 0 <= rule.decimals <= DECIMALS_MAX:
        raise ValueError(f"{name}.decimals is {rule.decimals}, not 0 to {DECIMALS_MAX}")
    if _SYMBOL.fullmatch(rule.symbol) is None:
        raise ValueError(f"{name}.symbol is {rule.symbol!r}, not 1 to 20 letters and digits")
    if caip.erc20_contract(rule.asset) is None and rule.decimals != NATIVE_DECIMALS:
        raise ValueError(f"{name}.decimals is {rule.decimals}: a native coin has {NATIVE_DECIMALS}")


def _check_recovery(rule: RecoveryRule, policy: Policy, name: str) -> None:
    try:
        if rule.asset is not None and caip.asset_network(rule.asset) != rule.network:
            raise ValueError(f"{rule.asset} is not on {rule.network}")
        for address in rule.destinations or ():
            evm.parse_address(address)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if policy.network(rule.network) is None:
        raise ValueError(f"{name}.network is not one that networks names")
    _check_units(rule.units_max, f"{name}.units_max")
    _check_approvals_min(rule.approvals_min, policy, f"{name}.approvals_min")


def _check_approvals_min(wanted: int, policy: Policy, name: str) -> None:
    if not 0 <= wanted <= len(policy.approvers):
        raise ValueError(f"{name} is {wanted}, and approvers names {len(policy.approvers)}")


def _check_units(text: str, name: str) -> None:
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        raise ValueError(f'{name} is {text!r}, not atomic units in digits such as "1000000"')


def _check_unique(values: Sequence[str], name: str) -> None:
    if len(set(values)) != len(values):
        raise ValueError(f"{name} names something twice")
