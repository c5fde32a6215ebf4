"""Beneficiaries: an account's address book of those whom it pays.

An entry's address and networks never change: who pays somewhere else writes a new entry, and the
delay on new entries begins again. A thief who holds a key of the account can add an address, and
has to wait beside everybody who sees the event.

An address that looks like a known one is refused. Who poisons an address book sends dust from an
address with the same first and last characters, because wallets show only those, and waits until
somebody copies it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sakk.core.errors import ParameterInvalid
from sakk.core.evm import checksum_address, digest_signer, keccak256, message_signer

PREFIX: Final = "ben"
NETWORKS_MAX: Final = 50
# A wallet shows about four characters at each end. Two honest addresses agree in seven of them at
# the ends once in 268 million pairs.
LOOKALIKE_HEAD_MIN: Final = 3
LOOKALIKE_TAIL_MIN: Final = 3
LOOKALIKE_DIGITS_MIN: Final = 7
# Of whoever stands behind an entry: what says nothing of who they are.
TOLD_OPENLY: Final = ("type", "wallet")
DOMAIN_NAME: Final = "Sakk"
DOMAIN_VERSION: Final = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Beneficiary:
    """One entry. ``address`` in lower case; ``networks`` by CAIP-2; deleted ones keep their row.

    ``ownership`` is how it is known whose address it is, ``travel_rule`` who stands behind it,
    under ``sealed`` but for what says nothing of them.
    ``confirmed_unlike`` is the known address that it looks like, as the caller confirmed.
    """

    id: str
    account_id: str
    livemode: bool
    name: str
    address: str
    networks: list[str]
    usable_at: datetime
    ownership: dict[str, Any] | None
    travel_rule: dict[str, Any] | None
    confirmed_unlike: str | None
    description: str | None
    metadata: dict[str, str]
    deleted: bool
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A destination as a caller writes it: an address on a network, an entry of the book, or an
    account at a bank."""

    address: str | None = None
    network: str | None = None
    beneficiary: str | None = None
    bank_account: str | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a payout goes: ``address`` in lower case, and the entry that it is."""

    network: str
    address: str
    beneficiary: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """An address that the account knows, and from where: an entry's id, or that it was paid."""

    address: str
    source: str


def usable_at(now: datetime, delay_seconds: int) -> datetime:
    """From when on a new entry may be paid."""
    return now + timedelta(seconds=delay_seconds)


def lookalike_key(address: str) -> str:
    """What two addresses that look alike have in common at the least: rows are found by it."""
    digits = address[2:]
    return digits[:LOOKALIKE_HEAD_MIN] + digits[-LOOKALIKE_TAIL_MIN:]


def looks_like(address: str, known: str) -> bool:
    """Are these two different addresses that a person takes for one? Both in lower case."""
    if address == known or lookalike_key(address) != lookalike_key(known):
        return False
    head = _common(address[2:], known[2:])
    tail = _common(address[:1:-1], known[:1:-1])
    return head + tail >= LOOKALIKE_DIGITS_MIN


def find_lookalike(address: str, known: Collection[Known]) -> Known | None:
    """The known address that this one imitates; None if there is none, or if it is known itself."""
    if any(each.address == address for each in known):
        return None
    return next((each for each in known if looks_like(address, each.address)), None)


def lookalike_refusal(address: str, known: Known, *, param: str) -> ParameterInvalid:
    """Why such an address is not paid, and what to do if it is meant."""
    return ParameterInvalid(
        "{address} looks like {known}, which "
        "{source}, and is another address: this is how address poisoning works. Compare all "
        "40 digits. If it is really meant, add it to /v1/beneficiaries with confirmed_unlike "
        "{known}.",
        param=param,
        address=checksum_address(address),
        known=checksum_address(known.address),
        source=known.source,
    )


def check_confirmation(address: str, imitated: Known | None, confirmed: str | None) -> None:
    """An entry that looks like a known address needs that address written out; nothing else does.

    ``confirmed`` in lower case. Raises ParameterInvalid.
    """
    if imitated is not None and confirmed != imitated.address:
        raise lookalike_refusal(address, imitated, param="address")
    if imitated is None and confirmed is not None:
        raise ParameterInvalid(
            "The address looks like no other that this account knows: leave confirmed_unlike out.",
            param="confirmed_unlike",
        )


def ownership_message(account_id: str, address: str) -> str:
    """What the owner of an address signs to show that it is theirs (EIP-191 personal message)."""
    return (
        f"I control the address {checksum_address(address)} and receive payments there from "
        f"the Sakk account {account_id}."
    )


def ownership_typed_data(account_id: str, address: str) -> dict[str, Any]:
    """The same, for wallets that show fields: what `eth_signTypedData_v4` takes (EIP-712)."""
    text = {"type": "string"}
    return {
        "types": {
            "EIP712Domain": [{"name": "name", **text}, {"name": "version", **text}],
            "WalletOwnership": [
                {"name": "wallet", "type": "address"},
                {"name": "account", **text},
                {"name": "statement", **text},
            ],
        },
        "primaryType": "WalletOwnership",
        "domain": {"name": DOMAIN_NAME, "version": DOMAIN_VERSION},
        "message": {
            "wallet": checksum_address(address),
            "account": account_id,
            "statement": ownership_message(account_id, address),
        },
    }


def ownership_digest(account_id: str, address: str) -> bytes:
    """The 32 bytes that are signed of `ownership_typed_data` (EIP-712, section "Specification")."""
    domain = keccak256(
        keccak256(b"EIP712Domain(string name,string version)")
        + keccak256(DOMAIN_NAME.encode())
        + keccak256(DOMAIN_VERSION.encode())
    )
    content = keccak256(
        keccak256(b"WalletOwnership(address wallet,string account,string statement)")
        + bytes(12)
        + bytes.fromhex(address[2:])
        + keccak256(account_id.encode())
        + keccak256(ownership_message(account_id, address).encode())
    )
    return keccak256(b"\x19\x01" + domain + content)


def check_ownership(proof: Mapping[str, Any], *, account_id: str, address: str) -> None:
    """A signature proves the address or is refused; a declaration is somebody's word.

    Raises ParameterInvalid. ``signature`` is 65 bytes in hexadecimal, over `ownership_message`
    (``eip191``) or `ownership_typed_data` (``eip712``).
    """
    param = "ownership[signature]"
    if proof["type"] == "declaration":
        if proof.get("signature") is not None or not proof.get("statement"):
            raise ParameterInvalid(
                "A declaration has a statement and no signature.", param="ownership[statement]"
            )
        return
    message = ownership_message(account_id, address)
    typed = proof["type"] == "eip712"
    how = (
        "with eth_signTypedData_v4: the entry's ownership_typed_data."
        if typed
        else f"with personal_sign: {message}"
    )
    try:
        signature = bytes.fromhex((proof.get("signature") or "").removeprefix("0x"))
        if typed:
            signer = digest_signer(ownership_digest(account_id, address), signature)
        else:
            signer = message_signer(message.encode(), signature)
    except ValueError as error:
        raise ParameterInvalid(
            "This is no signature ({error}). Have the owner sign, {how}",
            param=param,
            error=error,
            how=how,
        ) from None
    if signer != address:
        raise ParameterInvalid(
            "This is the signature of {signer}. Have the owner of {address} sign, {how}",
            param=param,
            signer=checksum_address(signer),
            address=checksum_address(address),
            how=how,
        )


def check_usable(entry: Beneficiary, network: str, *, now: datetime, param: str) -> None:
    """Raise ParameterInvalid for an entry that is not to be paid, there or yet."""
    if entry.deleted:
        raise ParameterInvalid(
            "The beneficiary {id} is deleted: add the address again.", param=param, id=entry.id
        )
    if network not in entry.networks:
        raise ParameterInvalid(
            "The beneficiary {id} is not paid on {network}, but on {networks}.",
            param=param,
            id=entry.id,
            network=network,
            networks=", ".join(entry.networks),
        )
    if now < entry.usable_at:
        raise ParameterInvalid(
            "The beneficiary {id} is new and may be paid from "
            "{usable_at} on. Try again then, or ask the operator.",
            param=param,
            id=entry.id,
            usable_at=f"{entry.usable_at:%Y-%m-%dT%H:%M:%SZ}",
        )


def only_network(entry: Beneficiary, *, param: str) -> str:
    """The network of an entry that has one; ParameterInvalid where the caller must choose."""
    if len(entry.networks) == 1:
        return entry.networks[0]
    raise ParameterInvalid(
        "The beneficiary {id} is paid on several networks: name one in "
        "destination[network], of {networks}.",
        param=param,
        id=entry.id,
        networks=", ".join(entry.networks),
    )


def unique(networks: Sequence[str]) -> list[str]:
    """Networks in a fixed order, each once."""
    return sorted(set(networks))


def without_data(travel_rule: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What may be seen of whoever stands behind an entry, without their data."""
    if travel_rule is None:
        return None
    return {name: travel_rule[name] for name in TOLD_OPENLY if name in travel_rule}


def public_beneficiary(
    entry: Beneficiary, *, now: datetime, travel_rule: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The API's object ``beneficiary``; without ``travel_rule``, opened, that data is left out."""
    if entry.deleted:
        return {"id": entry.id, "object": "beneficiary", "deleted": True}
    return {
        "id": entry.id,
        "object": "beneficiary",
        "name": entry.name,
        "address": checksum_address(entry.address),
        "networks": entry.networks,
        "status": "active" if now >= entry.usable_at else "waiting",
        "usable_at": int(entry.usable_at.timestamp()),
        "ownership": entry.ownership,
        "ownership_message": ownership_message(entry.account_id, entry.address),
        "ownership_typed_data": ownership_typed_data(entry.account_id, entry.address),
        "travel_rule": travel_rule or without_data(entry.travel_rule),
        "confirmed_unlike": None
        if entry.confirmed_unlike is None
        else checksum_address(entry.confirmed_unlike),
        "description": entry.description,
        "metadata": entry.metadata,
        "created": int(entry.created.timestamp()),
        "livemode": entry.livemode,
    }


def _common(one: str, other: str) -> int:
    """How many digits two texts, which are not the same, begin with in common."""
    pairs = enumerate(zip(one, other, strict=True))
    return next(count for count, (left, right) in pairs if left != right)
