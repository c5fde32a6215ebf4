"""Treasury keys in a hardware security module, by PKCS#11 (OASIS, v2.40), and deposits beside them.

The keys are made in the token and never leave it: CKK_EC on secp256k1, sensitive, not extractable.
The file ``token.toml`` beside the signer's policy names the module, the token, and for each
treasury index the label of its key and the address that it must have. An index that the file does
not name is the file keystore's, and so is the deposit branch: without a file keystore there is the
deposits' extended public key alone, and nothing of theirs is signed here.

CKM_ECDSA is randomised: signing twice gives two signatures. That one intent has the same bytes for
ever is the work of the signer's log, which holds a signature before it leaves.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pkcs11
import structlog
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.util.ec import encode_named_curve_parameters

from sakk.core import evm, hd
from sakk.core.errors import Misconfigured
from sakk.signing.files import check_private, write_private
from sakk.signing.keystore import KeyRing, Keys, Keystore, Secret, fingerprint_of
from sakk.signing.protocol import Branch, Reason, refusal

VERSION: Final = 1
FILE_BYTES_MAX: Final = 64 * 1024
LABEL_CHARACTERS_MAX: Final = 64
CURVE: Final = "secp256k1"
# SEC 2, section 2.4.1.
CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
POINT_BYTES: Final = 65
SIGNATURE_BYTES: Final = 64
# A point whose x is above the order has another recovery id; it has never been seen.
SIGN_TRIES_MAX: Final = 3
# A token that is away is asked again after this; a client repeats its request sooner.
REOPEN_SECONDS: Final = 1.0
_PIN_REFUSED: Final = "the PIN was refused: restart the signer with the right one"

log = structlog.get_logger(__name__)


class TokenKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A treasury key in the token: its index here, its label there, and its address.

    ``retired``: it was given up, and gives its coins to its successor alone. ``module`` and
    ``token``: where it is, if not where the file says for all; with the same PIN.
    """

    index: int
    label: str
    address: str
    retired: bool = False
    module: str | None = None
    token: str | None = None


class TokenFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``token.toml`` as it stands on disk; it holds no secret."""

    version: int = VERSION
    module: str
    token: str
    xpub: str
    treasury: tuple[TokenKey, ...] = ()


def read_token_file(path: Path) -> TokenFile:
    """Read and check the file; Misconfigured names what is wrong."""
    check_private(path)
    try:
        found = msgspec.toml.decode(path.read_bytes()[:FILE_BYTES_MAX], type=TokenFile)
        if found.version != VERSION:
            raise ValueError(f"version is {found.version}, this signer reads {VERSION}")
        hd.deposit_address(found.xpub, 0)
        for key in found.treasury:
            if not 0 <= key.index <= hd.INDEX_MAX:
                raise ValueError(f"treasury index {key.index} is not 0 to {hd.INDEX_MAX}")
            evm.parse_address(key.address)
            if (key.module is None) != (key.token is None):
                raise ValueError(f"treasury key {key.index} names a module or a token alone")
        if len({key.index for key in found.treasury}) != len(found.treasury):
            raise ValueError("treasury names an index twice")
    except (msgspec.MsgspecError, ValueError) as error:
        raise Misconfigured(f"{path}: {error}") from None
    return found


def write_token_file(path: Path, file: TokenFile) -> None:
    """Write the file whole, mode 0600."""
    lines = [
        "# Where the treasury's keys are. It holds no secret; the PIN stands elsewhere.",
        *(
            f"{name} = {msgspec.json.encode(getattr(file, name)).decode()}"
            for name in ("version", "module", "token", "xpub")
        ),
    ]
    for key in file.treasury:
        values = msgspec.to_builtins(key)
        lines += ["", "[[treasury]]"]
        lines += [
            f"{name} = {msgspec.json.encode(value).decode()}" for name, value in values.items()
        ]
    write_private(path, ("\n".join(lines) + "\n").encode(), replace=True)


def retire_token_key(path: Path, index: int) -> bool:
    """Mark a treasury key of the token as given up; False if the file does not name it."""
    file = read_token_file(path)
    if all(key.index != index for key in file.treasury):
        return False
    marked = tuple(
        msgspec.structs.replace(key, retired=True) if key.index == index else key
        for key in file.treasury
    )
    write_token_file(path, msgspec.structs.replace(file, treasury=marked))
    return True


class Token:
    """A session with the token, opened when it is needed and again after it was lost."""

    def __init__(
        self, module: str, label: str, pin: Secret, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._module = module
        self._label = label
        self._pin = pin
        self._clock = clock
        self._session: Any = None
        self._keys: dict[str, Any] = {}
        self._not_before = 0.0
        self._pin_refused = False

    def close(self) -> None:
        """End the session; the token keeps the keys."""
        session, self._session = self._session, None
        self._keys.clear()
        if session is not None:
            try:
                session.close()
            except pkcs11.PKCS11Error as error:
                log.info("token.close_failed", error=type(error).__name__)

    def sign(self, label: str, digest: bytes) -> bytes:
        """``r || s`` over a 32-byte digest; a refusal for now while the token is away."""
        with self._recovering():
            signature = self._key(label).sign(digest, mechanism=Mechanism.ECDSA)
        if len(signature) != SIGNATURE_BYTES:
            raise _away(f"a signature of {len(signature)} bytes")
        return bytes(signature)

    def address(self, label: str) -> str | None:
        """The address of the key with this label; None if the token has none."""
        with self._recovering():
            session = self._open()
            found = list(
                session.get_objects(
                    {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.LABEL: label}
                )
            )
            if not found:
                return None
            if len(found) > 1:
                raise Misconfigured(f"the token has {len(found)} keys with the label {label!r}")
            return point_address(bytes(found[0][Attribute.EC_POINT]))

    def generate(self, label: str) -> str:
        """Make a key that stays in the token; its address."""
        with self._recovering(), self._writing() as session:
            parameters = session.create_domain_parameters(
                KeyType.EC,
                {Attribute.EC_PARAMS: encode_named_curve_parameters(CURVE)},
                local=True,
            )
            parameters.generate_keypair(
                store=True,
                label=label,
                private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
            )
        address = self.address(label)
        assert address is not None
        self.check_kept(label)
        return address

    def check_kept(self, label: str) -> None:
        """Misconfigured if the key could leave the token, or was not made in it."""
        with self._recovering():
            key = self._key(label)
            if key[Attribute.EXTRACTABLE] or not key[Attribute.SENSITIVE]:
                raise Misconfigured(f"the key {label!r} can be taken out of the token")
            if not (key[Attribute.NEVER_EXTRACTABLE] and key[Attribute.LOCAL]):
                log.warning("token.key_was_outside", label=label)

    @contextmanager
    def _recovering(self) -> Iterator[None]:
        """After a fault the session is thrown away: the next request opens another."""
        try:
            yield
        except (pkcs11.PinIncorrect, pkcs11.PinLocked, pkcs11.PinExpired) as error:
            # Asking again would lock the token.
            self._pin_refused = True
            raise _away(f"{_PIN_REFUSED} ({type(error).__name__})") from error
        except pkcs11.NoSuchKey as error:
            raise _away("it has no such key") from error
        except pkcs11.PKCS11Error as error:
            self.close()
            self._not_before = self._clock() + REOPEN_SECONDS
            log.error("token.lost", error=type(error).__name__)
            raise _away(type(error).__name__) from error

    def _open(self) -> Any:
        if self._session is None:
            self._session = self._login(rw=False)
        return self._session

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        self.close()
        session = self._login(rw=True)
        try:
            yield session
        finally:
            session.close()

    def _login(self, *, rw: bool) -> Any:
        if self._pin_refused:
            raise _away(_PIN_REFUSED)
        if self._clock() < self._not_before:
            raise _away("it was lost a moment ago")
        try:
            library = pkcs11.lib(self._module)
            if self._not_before:
                # A module may hold what it knew of a token that was taken out.
                library.reinitialize()
            token = library.get_token(token_label=self._label)
        except (RuntimeError, OSError) as error:
            self._not_before = self._clock() + REOPEN_SECONDS
            raise _away(f"{self._module}: {type(error).__name__}: {error}") from error
        session = token.open(rw=rw, user_pin=self._pin.reveal().decode())
        log.info("token.opened", token=self._label)
        return session

    def _key(self, label: str) -> Any:
        session = self._open()
        if label not in self._keys:
            self._keys[label] = session.get_key(
                object_class=ObjectClass.PRIVATE_KEY, key_type=KeyType.EC, label=label
            )
        return self._keys[label]


class TokenKeystore(Keys):
    """Treasury keys in the token by index; the rest of the treasury and deposits from a file."""

    def __init__(
        self,
        file: TokenFile,
        token: Token,
        rest: Keystore | KeyRing | None,
        others: Mapping[tuple[str, str], Token] | None = None,
    ) -> None:
        """``others``: further tokens, by module and label. Misconfigured if the file keystore is
        not the one whose deposits these are.
        """
        if rest is not None and rest.xpub != file.xpub:
            raise Misconfigured("the token's file names another xpub than the file keystore has")
        self.xpub = file.xpub
        self.fingerprint = fingerprint_of(file.xpub)
        self._keys = {key.index: key for key in file.treasury}
        self._token = token
        self._others = others or {}
        self._rest = rest
        self._checked: set[int] = set()

    def __repr__(self) -> str:
        return f"TokenKeystore({sorted(self._keys)})"

    def close(self) -> None:
        for each in (self._token, *self._others.values()):
            each.close()

    def address(self, branch: Branch, index: int) -> str:
        """The address of a key; the token need not be there. ValueError for no such key."""
        if branch is Branch.treasury and index in self._keys:
            return self._keys[index].address.lower()
        if self._rest is not None:
            return self._rest.address(branch, index)
        if branch is Branch.deposit:
            return hd.deposit_address(self.xpub, index)
        raise ValueError(f"no treasury key has index {index}")

    def later_xpubs(self) -> dict[int, str]:
        return {} if self._rest is None else self._rest.later_xpubs()

    def is_retired(self, index: int) -> bool:
        key = self._keys.get(index)
        if key is not None:
            return key.retired
        return self._rest is not None and self._rest.is_retired(index)

    def sign_digest(self, digest: bytes, branch: Branch, index: int) -> evm.Signature:
        key = self._keys.get(index) if branch is Branch.treasury else None
        if key is not None:
            self._check_address(key)
            return self._signature(key, digest)
        if self._rest is None:
            raise refusal(
                Reason.key_not_allowed, f"{branch} key {index} is not here: only its address is"
            )
        return self._rest.sign_digest(digest, branch, index)

    def _token_of(self, key: TokenKey) -> Token:
        """The token that has a key: its own, or the file's."""
        if key.module is None or key.token is None:
            return self._token
        return self._others[key.module, key.token]

    def _check_address(self, key: TokenKey) -> None:
        """Once a start: the token's key is the one that the file names, and stays in the token."""
        if key.index in self._checked:
            return
        found = self._token_of(key).address(key.label)
        if found != key.address.lower():
            raise refusal(
                Reason.keystore_unavailable,
                f"the token's key {key.label!r} has the address {found}, not {key.address}",
            )
        self._token_of(key).check_kept(key.label)
        self._checked.add(key.index)

    def _signature(self, key: TokenKey, digest: bytes) -> evm.Signature:
        """With a low s (EIP-2), and the parity by which the address is found again."""
        for _ in range(SIGN_TRIES_MAX):
            compact = self._token_of(key).sign(key.label, digest)
            r, s = int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:], "big")
            s = min(s, CURVE_ORDER - s)
            for y_parity in (0, 1):
                signature = evm.Signature(y_parity=y_parity, r=r, s=s)
                try:
                    recovered = evm.recover(digest, signature)
                except ValueError:
                    continue
                if recovered == key.address.lower():
                    return signature
        raise refusal(
            Reason.keystore_unavailable, f"the token's signatures are not those of {key.address}"
        )


def open_tokens(file: TokenFile, pin: Secret) -> tuple[Token, dict[tuple[str, str], Token]]:
    """The file's token, and those that single keys name; each is opened when it is needed."""
    named = {
        (key.module, key.token)
        for key in file.treasury
        if key.module is not None and key.token is not None
    }
    return Token(file.module, file.token, pin), {each: Token(*each, pin) for each in named}


def point_address(encoded: bytes) -> str:
    """The address of CKA_EC_POINT: an uncompressed point, as a rule in a DER OCTET STRING."""
    point = encoded[-POINT_BYTES:]
    if len(point) != POINT_BYTES or point[0] != 4:
        raise Misconfigured("the token's public key is no uncompressed point of secp256k1")
    return evm.public_key_address(point)


def _away(what: str) -> Exception:
    return refusal(Reason.keystore_unavailable, f"the token does not sign: {what}")
