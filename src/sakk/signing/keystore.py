"""The keystore: one seed in an encrypted file, and the keys that are derived from it.

The file is JSON: scrypt (RFC 7914) makes a key of the passphrase, AES-256-GCM holds the seed, and
everything else in the file is authenticated with it. Keys are BIP-32 children at BIP-44 paths:
deposits ``m/44'/60'/0'/0/i``, treasury ``m/44'/60'/1'/0/i``. Only the deposit account's public half
leaves the signer.
"""

import os
from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final, NoReturn, Protocol

import coincurve
import msgspec
from bip32 import BIP32
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from sakk.core import authorization, evm, hd
from sakk.core.authorization import SetCodeTransaction, SignedSetCode
from sakk.core.errors import Misconfigured
from sakk.signing.files import check_private, write_private
from sakk.signing.protocol import Branch

VERSION: Final = 1
SEED_BYTES: Final = 32
# BIP-32 asks for 128 to 512 bits; a BIP-39 mnemonic gives 512.
SEED_BYTES_RANGE: Final = range(16, 65)
SALT_BYTES: Final = 32
NONCE_BYTES: Final = 12
PASSPHRASE_CHARACTERS_MIN: Final = 12
# RFC 7914: 128 * n * r bytes of memory; 2^17 is 128 MiB and about half a second.
SCRYPT_N: Final = 1 << 17
SCRYPT_N_MIN: Final = 1 << 14
SCRYPT_N_MAX: Final = 1 << 20
SCRYPT_R: Final = 8
SCRYPT_P: Final = 1
ACCOUNT_PATHS: Final = {Branch.deposit: "m/44'/60'/0'", Branch.treasury: "m/44'/60'/1'"}
KEYS_CACHED_MAX: Final = 4096


class Secret:
    """Bytes that never show themselves: not in a repr, a log, a traceback or a pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


class Keys(Protocol):
    """What the signer needs of a keystore, wherever its keys are.

    ``xpub`` is the deposits' (``m/44'/60'/0'``); ``fingerprint`` names the keystore in the log, so
    that one's log is not continued under another.
    """

    __slots__ = ()

    xpub: str
    fingerprint: str

    @abstractmethod
    def address(self, branch: Branch, index: int) -> str:
        """The address of a key, in lower-case hex; ValueError for an index that has none here."""

    def later_xpubs(self) -> dict[int, str]:
        """The deposits' extended public keys of later seeds, by the indices that they begin at."""
        return {}

    def is_retired(self, index: int) -> bool:
        """Was this treasury key given up? Then it gives its coins to its successor alone."""
        return False

    @abstractmethod
    def sign_digest(self, digest: bytes, branch: Branch, index: int) -> evm.Signature:
        """Sign 32 bytes with a low s (EIP-2). For this module and its like alone.

        SignerRefused while the key is not to be had.
        """

    def sign_transaction(
        self, transaction: evm.Transaction | SetCodeTransaction, branch: Branch, index: int
    ) -> bytes:
        """Sign an EIP-1559 or EIP-7702 transaction; the bytes are checked before they leave."""
        # Read back what leaves: a fault in memory or in a library must not become a payment.
        if isinstance(transaction, SetCodeTransaction):
            signature = self.sign_digest(authorization.signing_hash(transaction), branch, index)
            with_code = SignedSetCode(transaction, signature)
            raw = authorization.encode_signed(with_code)
            assert authorization.decode_signed(raw) == with_code
            assert authorization.recover_sender(with_code) == self.address(branch, index)
            return raw
        signature = self.sign_digest(evm.signing_hash(transaction), branch, index)
        signed = evm.SignedTransaction(transaction, signature)
        raw = evm.encode_signed(signed)
        assert evm.decode_signed(raw) == signed
        assert evm.recover_sender(signed) == self.address(branch, index)
        return raw

    def close(self) -> None:
        """Let go of what was opened."""
        return


class Keystore(Keys):
    """An opened keystore file: it signs digests for the signer's own rules, and shows no key.

    By RFC 6979: the same digest gives the same signature.
    """

    __slots__ = (
        "_accounts",
        "_address_of",
        "_key",
        "fingerprint",
        "first",
        "path",
        "retired",
        "xpub",
    )

    def __init__(
        self,
        path: Path,
        seed: Secret,
        *,
        retired: Sequence[int] = (),
        first: "First | None" = None,
    ) -> None:
        root = BIP32.from_seed(seed.reveal())
        self.path = path
        self.retired = frozenset(retired)
        self.first = first or First()
        self.xpub = root.get_xpub_from_path(ACCOUNT_PATHS[Branch.deposit])
        self.fingerprint = fingerprint_of(self.xpub)
        self._accounts = {
            branch: BIP32.from_xpriv(root.get_xpriv_from_path(f"{account}/0"))
            for branch, account in ACCOUNT_PATHS.items()
        }
        self._key = lru_cache(maxsize=KEYS_CACHED_MAX)(self._derive)
        self._address_of = lru_cache(maxsize=KEYS_CACHED_MAX)(self._address)

    def __repr__(self) -> str:
        return f"Keystore({str(self.path)!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a keystore is not pickled")

    def address(self, branch: Branch, index: int) -> str:
        return self._address_of(branch, index)

    def is_retired(self, index: int) -> bool:
        return index in self.retired

    def sign_digest(self, digest: bytes, branch: Branch, index: int) -> evm.Signature:
        compact = self._key(branch, index).sign_recoverable(digest, hasher=None)
        return evm.parse_signature(compact)

    def sign_authorization(self, index: int, delegate: str) -> evm.Signature:
        """Let a deposit address run a hub's delegate on every chain, before it sends anything.

        Signed where the seed is, so that who sweeps needs no deposit key (EIP-7702).
        """
        wanted = authorization.for_delegate(delegate)
        digest = authorization.authorization_hash(wanted)
        signature = self.sign_digest(digest, Branch.deposit, index)
        signed = authorization.SignedAuthorization(wanted, signature)
        assert authorization.authority(signed) == self.address(Branch.deposit, index)
        return signature

    def _derive(self, branch: Branch, index: int) -> coincurve.PrivateKey:
        if not 0 <= index <= hd.INDEX_MAX:
            raise ValueError(f"a derivation index is 0 to {hd.INDEX_MAX}, not {index}")
        return coincurve.PrivateKey(self._accounts[branch].get_privkey_from_path([index]))

    def _address(self, branch: Branch, index: int) -> str:
        """The address of a key, in lower-case hex; ValueError for an index out of range."""
        return evm.public_key_address(self._key(branch, index).public_key.format())


def fingerprint_of(xpub: str) -> str:
    """How the log names the keystore of an extended public key."""
    return evm.keccak256(xpub.encode()).hex()[:32]


def drill_signature(keys: Keys, branch: Branch, *, index: int = 0) -> str:
    """Sign a transaction that no chain accepts (the largest chain id, to itself, of no value).

    Returns the address that signed, which was recovered from the bytes.
    """
    drill = evm.Transaction(
        chain_id=evm.CHAIN_ID_MAX,
        nonce=0,
        max_priority_fee_per_gas=0,
        max_fee_per_gas=0,
        gas_limit=0,
        to=keys.address(branch, index),
        value=0,
        data=b"",
    )
    return evm.recover_sender(evm.decode_signed(keys.sign_transaction(drill, branch, index)))


class First(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first indices of a seed: those before them are of the seed before it."""

    deposit: int = 0
    treasury: int = 0

    def of(self, branch: Branch) -> int:
        return self.deposit if branch is Branch.deposit else self.treasury


class KeyRing(Keys):
    """Several seeds, each from its first indices on; ``xpub`` and the fingerprint are the first's.

    So the log goes on under the keystore that it was begun with.
    """

    __slots__ = ("_stores", "fingerprint", "xpub")

    def __init__(self, stores: Sequence[Keystore]) -> None:
        """Misconfigured unless one begins at 0, and each after the one before."""
        self._stores = sorted(stores, key=lambda each: each.first.deposit)
        firsts = [each.first for each in self._stores]
        for before, after in pairwise(firsts):
            if after.deposit <= before.deposit or after.treasury <= before.treasury:
                raise Misconfigured("two keystores begin at the same index")
        if firsts[0] != First():
            raise Misconfigured("the first keystore is missing")
        self.xpub = self._stores[0].xpub
        self.fingerprint = self._stores[0].fingerprint

    def __repr__(self) -> str:
        return f"KeyRing({len(self._stores)})"

    def store_of(self, branch: Branch, index: int) -> Keystore:
        """The keystore that has a key."""
        held = [each for each in self._stores if each.first.of(branch) <= index]
        return held[-1] if held else self._stores[0]

    def later_xpubs(self) -> dict[int, str]:
        return {each.first.deposit: each.xpub for each in self._stores[1:]}

    def is_retired(self, index: int) -> bool:
        return self.store_of(Branch.treasury, index).is_retired(index)

    def address(self, branch: Branch, index: int) -> str:
        return self.store_of(branch, index).address(branch, index)

    def sign_digest(self, digest: bytes, branch: Branch, index: int) -> evm.Signature:
        return self.store_of(branch, index).sign_digest(digest, branch, index)


class _Kdf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    n: int
    r: int
    p: int
    salt: str


class _Cipher(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    nonce: str
    ciphertext: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The file as it stands on disk; hexadecimal for bytes.

    ``retired``: treasury keys given up. A later seed's keys begin at ``first``.
    """

    version: int
    created_at: str
    entropy_source: str
    xpub: str
    kdf: _Kdf
    cipher: _Cipher
    retired: tuple[int, ...] = ()
    first: First = First()


def create_keystore(
    path: Path,
    passphrase: str,
    *,
    now: datetime,
    seed: bytes | None = None,
    mnemonic: str | None = None,
    scrypt_n: int = SCRYPT_N,
    first: First = First(),
) -> Keystore:
    """Write a new keystore and open it; FileExistsError rather than overwrite one.

    Without ``seed`` (16 to 64 bytes) or ``mnemonic`` (BIP-39) the seed is 32 bytes of the kernel's
    random generator. Where it came from is recorded in the file.
    """
    _check_passphrase(passphrase)
    source, value = _seed(seed, mnemonic)
    keystore = Keystore(path, Secret(value), first=first)
    kdf = _Kdf("scrypt", scrypt_n, SCRYPT_R, SCRYPT_P, os.urandom(SALT_BYTES).hex())
    file = _File(
        version=VERSION,
        created_at=now.isoformat(),
        entropy_source=source,
        xpub=keystore.xpub,
        kdf=kdf,
        cipher=_Cipher("aes-256-gcm", "", ""),
        first=first,
    )
    _seal(path, file, value, passphrase, replace=False)
    return keystore


def open_keystore(path: Path, passphrase: str) -> Keystore:
    """Decrypt a keystore; Misconfigured for a wrong passphrase, a changed file, or open modes."""
    file, seed = _unseal(path, passphrase)
    keystore = Keystore(path, Secret(seed), retired=file.retired, first=file.first)
    if keystore.xpub != file.xpub:
        raise Misconfigured(f"{path} names another public key than its seed has")
    return keystore


def change_passphrase(path: Path, passphrase: str, following: str) -> None:
    """Seal the same seed with another passphrase, in one step; the file opens with one of both.

    Misconfigured as at `open_keystore`, and for a passphrase that is too short or the same.
    """
    if following == passphrase:
        raise Misconfigured("the new passphrase is the one that the keystore has")
    file, seed = _unseal(path, passphrase)
    _check_passphrase(following)
    kdf = msgspec.structs.replace(file.kdf, salt=os.urandom(SALT_BYTES).hex())
    _seal(path, msgspec.structs.replace(file, kdf=kdf), seed, following, replace=True)


def retire_key(path: Path, passphrase: str, index: int) -> None:
    """Mark a treasury key as given up: from its next start the signer uses it for no payment.

    Again, it changes nothing.
    """
    file, seed = _unseal(path, passphrase)
    if index in file.retired:
        return
    marked = msgspec.structs.replace(file, retired=(*file.retired, index))
    _seal(path, marked, seed, passphrase, replace=True)


def _seal(path: Path, file: _File, seed: bytes, passphrase: str, *, replace: bool) -> None:
    """Encrypt under a fresh nonce and write the file whole: a crash leaves the old or the new."""
    nonce = os.urandom(NONCE_BYTES)
    file = msgspec.structs.replace(file, cipher=_Cipher("aes-256-gcm", nonce.hex(), ""))
    ciphertext = AESGCM(_stretch(passphrase, file.kdf)).encrypt(nonce, seed, _header(file))
    sealed = msgspec.structs.replace(
        file, cipher=msgspec.structs.replace(file.cipher, ciphertext=ciphertext.hex())
    )
    content = msgspec.json.format(msgspec.json.encode(sealed)) + b"\n"
    write_private(path, content, replace=replace)


def _unseal(path: Path, passphrase: str) -> tuple[_File, bytes]:
    """The file and the seed in it."""
    check_private(path)
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
        nonce, ciphertext = bytes.fromhex(file.cipher.nonce), bytes.fromhex(file.cipher.ciphertext)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Misconfigured(f"{path} is not a keystore: {error}") from None
    if (file.version, file.kdf.name, file.cipher.name) != (VERSION, "scrypt", "aes-256-gcm"):
        raise Misconfigured(f"{path} is a keystore of a kind that this version does not read")
    try:
        seed = AESGCM(_stretch(passphrase, file.kdf)).decrypt(nonce, ciphertext, _header(file))
    except InvalidTag:
        raise Misconfigured(
            f"{path} does not open: the passphrase is wrong or the file was changed"
        ) from None
    return file, seed


def verify_keystore(path: Path, passphrase: str, *, xpub: str) -> Keystore:
    """The restore drill: a copy opens, has the expected xpub, and its keys sign.

    Misconfigured says what failed. Every branch signs, and watch-only derivation agrees.
    """
    keystore = open_keystore(path, passphrase)
    if keystore.xpub != xpub:
        raise Misconfigured(f"{path} opens, but is not the keystore of the expected xpub")
    for branch in Branch:
        if drill_signature(keystore, branch) != keystore.address(branch, 0):
            raise Misconfigured(f"{path}: the {branch} key does not sign for its address")
    if hd.deposit_address(xpub, 0) != keystore.address(Branch.deposit, 0):
        raise Misconfigured(f"{path}: watch-only derivation disagrees with the keys")
    return keystore


def _check_passphrase(passphrase: str) -> None:
    if len(passphrase) < PASSPHRASE_CHARACTERS_MIN:
        raise Misconfigured(
            f"the keystore's passphrase needs {PASSPHRASE_CHARACTERS_MIN} characters or more"
        )


def _seed(seed: bytes | None, mnemonic: str | None) -> tuple[str, bytes]:
    """Where the seed comes from, and the seed."""
    if seed is not None and mnemonic is not None:
        raise Misconfigured("give a seed or a mnemonic, not both")
    if seed is not None:
        if len(seed) not in SEED_BYTES_RANGE:
            raise Misconfigured("a seed has 16 to 64 bytes")
        return "imported seed", seed
    if mnemonic is not None:
        return "imported BIP-39 mnemonic", _seed_of_mnemonic(mnemonic.split())
    return "kernel random generator (getrandom)", os.getrandom(SEED_BYTES)


def _seed_of_mnemonic(words: Sequence[str]) -> bytes:
    # Slow to import, and only an import needs it.
    from eth_account.hdaccount.mnemonic import Mnemonic

    phrase = " ".join(words)
    if not Mnemonic().is_mnemonic_valid(phrase):
        raise Misconfigured("the mnemonic is not a BIP-39 phrase (a word or the checksum is wrong)")
    return bytes(Mnemonic.to_seed(phrase))


def _header(file: _File) -> bytes:
    """What AES-GCM authenticates beside the seed: the whole file except the ciphertext."""
    cipher = msgspec.structs.replace(file.cipher, ciphertext="")
    return msgspec.json.encode(msgspec.structs.replace(file, cipher=cipher))


def _stretch(passphrase: str, kdf: _Kdf) -> bytes:
    """Make the file's key of the passphrase; bounded, for the file itself names the cost."""
    power_of_two = kdf.n > 0 and kdf.n & (kdf.n - 1) == 0
    if not power_of_two or not SCRYPT_N_MIN <= kdf.n <= SCRYPT_N_MAX:
        raise Misconfigured(f"scrypt n is a power of two, {SCRYPT_N_MIN} to {SCRYPT_N_MAX}")
    if (kdf.r, kdf.p) != (SCRYPT_R, SCRYPT_P):
        raise Misconfigured(f"scrypt r and p are {SCRYPT_R} and {SCRYPT_P}")
    try:
        salt = bytes.fromhex(kdf.salt)
    except ValueError:
        raise Misconfigured("scrypt salt is not hexadecimal") from None
    kdf_function = Scrypt(salt=salt, length=32, n=kdf.n, r=kdf.r, p=kdf.p)
    return kdf_function.derive(passphrase.encode())
