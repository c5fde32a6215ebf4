# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Records of charges by voucher, to the ledger's and back: ``sakk.api.voucher`` has the rules.

For channels that are remembered, one call of each in a request. Who signed is found by libsecp256k1
itself, without the interpreter's lock. Whatever does not look plain from here is left for the long
way, which asks the ledger first.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from hashlib import blake2b

from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT

from sakk.core.escrow_channel import Totals
from sakk.core.evm import keccak256

cdef enum:
    OPERATION = 128
    RESULT = 96
    RECORD = 128
    RESERVE = 4
    COMMIT = 5
    RELEASE = 6
    TIMEOUT_DEFAULT = 60
    TIMEOUT_MAX = 3600
    FUNDED = 600
    CHARGED = 601
    LINKED = 1
    PENDING = 1 << 1
    POST = 1 << 2
    VOID = 1 << 3
    EXISTS = 1
    KEY = 64
    # Places on the wire: what is refused here, and what waits for the long way.
    SIGNATURE = 35
    LATER = 255

# The interface of libsecp256k1, by its addresses: a context is read by any number of threads.
ctypedef int (*Parse)(const void *, void *, const unsigned char *, int) noexcept nogil
ctypedef int (*Recover)(const void *, void *, const void *, const unsigned char *) noexcept nogil
cdef Parse parse_signature = <Parse><uintptr_t>int(
    ffi.cast("uintptr_t", ffi.addressof(lib, "secp256k1_ecdsa_recoverable_signature_parse_compact"))
)
cdef Recover recover_key = <Recover><uintptr_t>int(
    ffi.cast("uintptr_t", ffi.addressof(lib, "secp256k1_ecdsa_recover"))
)
cdef const void *CONTEXT = <const void *><uintptr_t>int(
    ffi.cast("uintptr_t", GLOBAL_CONTEXT.ctx)
)
if ffi.sizeof("secp256k1_pubkey") != KEY:
    raise ImportError("libsecp256k1's public keys have another size")

# Half of the curve's order: the contract takes no signature whose s is above it.
cdef bytes HALF = bytes.fromhex("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0")
cdef object WHOLE = (1 << 128) - 1
cdef uint64_t WIRE_WHOLE = <uint64_t>0xffffffffffffffff
# Of a commit's user data: as `sakk.core.escrow_channel.voucher_data`.
cdef int CEILING_BITS = 121
cdef int ATTEMPTS = 128


cdef class Channel:
    """What never changes of a channel that is remembered, in the bytes that are needed."""

    cdef readonly str account
    cdef readonly bint livemode
    cdef unsigned char number[16]
    cdef unsigned char payer[20]
    cdef unsigned char tag[8]
    cdef unsigned char deposit[16]
    cdef unsigned char signed_[16]
    cdef unsigned char incoming[16]
    cdef uint64_t unit
    cdef bytes around, inner
    cdef object charges, raises
    cdef str signer
    # The signer's key as the library has it, once it was seen.
    cdef unsigned char key[64]
    cdef bint is_seen

    def __init__(
        self,
        object channel,
        object accounts,
        object unit,
        bytes separator not None,
        bytes voucher_type not None,
        bytes tag not None,
    ) -> None:
        self.account, self.livemode = channel.account_id, channel.livemode
        fill(self.number, channel.number.to_bytes(16, "big"), 16)
        fill(self.payer, bytes.fromhex(channel.payer[2:]), 20)
        fill(self.tag, tag, 8)
        fill(self.deposit, accounts[0].to_bytes(16, "big"), 16)
        fill(self.signed_, accounts[1].to_bytes(16, "big"), 16)
        fill(self.incoming, accounts[2].to_bytes(16, "big"), 16)
        self.unit = unit
        self.around = b"\x19\x01" + separator
        self.inner = voucher_type + bytes.fromhex(channel.channel[2:])
        self.signer = channel.config.voucher_signer
        named = f"ledger-transfer\x1f{channel.id}\x1f".encode()
        self.charges = blake2b(named + b"voucher:", digest_size=16)
        self.raises = blake2b(named + b"raise:", digest_size=16)

    cdef bytes digest(self, bytes ceiling):
        """What its payer signs for a total, which stands as 12 bytes on the wire."""
        return keccak256(self.around + keccak256(self.inner + bytes(20) + ceiling))

    cdef int put_id(self, unsigned char *at, object start, bytes rest) except -1:
        """An id of the ledger's, as `sakk.core.ledger.transfer_id` makes it."""
        found = start.copy()
        found.update(rest)
        cdef bytes digest = found.digest()
        memcpy(at, PyBytes_AS_STRING(digest), 16)
        at[8] &= 0x7f
        return 0

    cdef bint is_signer(self, const unsigned char *key):
        """Is it the key whose signatures this channel takes?"""
        if self.is_seen:
            return memcmp(self.key, key, KEY) == 0
        # The library's own form: x and y, each little-endian in words of the machine.
        point = ffi.new("secp256k1_pubkey *")
        ffi.memmove(point, PyBytes_FromStringAndSize(<const char *>key, KEY), KEY)
        out, size = ffi.new("unsigned char[65]"), ffi.new("size_t *", 65)
        lib.secp256k1_ec_pubkey_serialize(
            GLOBAL_CONTEXT.ctx, out, size, point, lib.SECP256K1_EC_UNCOMPRESSED
        )
        if "0x" + keccak256(bytes(ffi.buffer(out))[1:])[12:].hex() != self.signer:
            return False
        memcpy(self.key, key, KEY)
        self.is_seen = True
        return True


cdef int fill(unsigned char *at, bytes value, Py_ssize_t size) except -1:
    if len(value) != size:
        raise ValueError(f"{size} bytes are needed, not {len(value)}")
    memcpy(at, PyBytes_AS_STRING(value), size)
    return 0


cdef class Asked:
    """A body that was read, and what is asked for. ``vouchers``: what is kept first.

    ``answer`` or ``fail`` is to be called once: until then nothing else raises these channels.
    """

    cdef readonly bytes records
    cdef readonly bytes vouchers
    # Which operations the long way has to answer.
    cdef readonly list later
    cdef bytes _body
    cdef bytearray _reasons
    cdef list _met, _raised, _results
    cdef object _why_not

    def answer(self, bytes results not None) -> bytes | None:
        """The body's results from the ledger's; None where some are left for the long way."""
        try:
            self._read(results)
        except BaseException:
            self.fail()
            raise
        self._let_go()
        return None if self.later else b"".join(self._results)

    cdef int _read(self, bytes results) except -1:
        cdef Py_ssize_t count = len(self._met), asked = len(self.records) // RECORD
        cdef const unsigned char *statuses = <const unsigned char *>PyBytes_AS_STRING(results)
        cdef Py_ssize_t index, place = 0
        cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(self._body)
        if len(results) != asked * 9:
            raise ValueError(f"{asked} results of 9 bytes are needed, not {len(results)} bytes")
        statuses += asked * 8
        for index in range(count):
            if self._reasons[index] == 0:
                if at[0] == RESERVE and is_rising(self.records, place):
                    place += 1
                self._tell(index, at, statuses[place])
                place += 1
            at += OPERATION
        return 0

    def fail(self) -> None:
        """Whether it was done is not known: where these channels stand is asked again."""
        for met in self._met:
            if met is not None:
                met.totals = None
        self._let_go()

    def joined(self, list results not None) -> bytes:
        """All results, with those that were left, in their order."""
        for index, result in zip(self.later, results, strict=True):
            self._results[index] = result
        return b"".join(self._results)

    cdef int _let_go(self) except -1:
        for met in self._raised:
            met.let_go()
        self._raised = []
        return 0

    cdef int _tell(self, Py_ssize_t index, const unsigned char *at, int status) except -1:
        """What the ledger said of one operation."""
        cdef object met = self._met[index]
        cdef object ceiling, used
        cdef int attempt
        if at[0] == RESERVE:
            if status:
                met.totals = None
                self.later.append(index)
            else:
                self._results[index] = done(met, 0, big(at + 4, 8))
            return 0
        if status > EXISTS:
            self._results[index] = refused(met.quick, self._why_not(status))
            return 0
        ceiling, attempt = big(at + 20, 12), at[2] << 8 | at[3]
        used = met.ended_by(ceiling, attempt, at[0] == COMMIT, amount_of(at))
        self._results[index] = done(met, 0, used)
        return 0


cdef bint is_rising(bytes records, Py_ssize_t place):
    """Is the transfer at this place a raise, which its call follows?"""
    cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(records)
    return at[place * RECORD + 126] & LINKED


cdef object big(const unsigned char *at, int size):
    cdef uint64_t low = 0, high = 0
    cdef int index
    for index in range(size):
        if size - index <= 8:
            low = low << 8 | at[index]
        else:
            high = high << 8 | at[index]
    return low if not high else <object>high << 64 | low


cdef object amount_of(const unsigned char *at):
    """What an end says that was used."""
    cdef object found = big(at + 4, 8)
    return WHOLE if found == WIRE_WHOLE else found


cdef bytes done(object met, int attempt, object amount):
    """A result where it was done, with what the books hold for the channel."""
    cdef bytes result = PyBytes_FromStringAndSize(NULL, RESULT)
    cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(result)
    cdef Channel channel = met.quick
    memset(at, 0, RESULT)
    at[2], at[3] = attempt >> 8, attempt & 0xff
    memcpy(at + 4, channel.payer, 20)
    put_big(at + 32, amount, 16)
    totals = met.totals
    put_big(at + 48, met.balance if totals is None else totals.balance, 12)
    put_big(at + 60, met.known.channel.redeemed, 12)
    put_big(at + 72, met.withdraw_begun, 8)
    memcpy(at + 80, channel.number, 16)
    return result


cdef bytes refused(Channel channel, int reason):
    cdef bytes result = PyBytes_FromStringAndSize(NULL, RESULT)
    cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(result)
    memset(at, 0, RESULT)
    at[0] = reason
    memcpy(at + 4, channel.payer, 20)
    return result


cdef int put_big(unsigned char *at, object value, int size) except -1:
    cdef bytes encoded = value.to_bytes(size, "big")
    memcpy(at, PyBytes_AS_STRING(encoded), size)
    return 0


cdef int put_little(unsigned char *at, object value) except -1:
    cdef bytes encoded = value.to_bytes(16, "little")
    memcpy(at, PyBytes_AS_STRING(encoded), 16)
    return 0


def ask(
    bytes body not None,
    object named not None,
    object numbered not None,
    str account not None,
    bint livemode,
    double now,
    object why_not not None,
) -> Asked | None:
    """Read a body of whole records and plan it; None where it is for the long way as a whole."""
    cdef Py_ssize_t count = len(body) // OPERATION
    cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(body)
    cdef list found = find(body, named, numbered, account, livemode, now)
    cdef bytearray reasons
    cdef Asked asked
    if found is None:
        return None
    reasons = checked(body, found)
    asked = Asked()
    asked._body, asked._met, asked._reasons = body, found, reasons
    asked._raised, asked.later, asked._why_not = [], [], why_not
    asked._results = [None] * count
    try:
        plan(asked, at, count)
    except BaseException:
        asked.fail()
        raise
    return asked


cdef list find(
    bytes body, object named, object numbered, str account, bint livemode, double now
):
    """The channels of all operations; None unless each is known, plain, and met once."""
    cdef Py_ssize_t count = len(body) // OPERATION, index
    cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(body)
    cdef list found = []
    cdef set calling = set()
    cdef Channel channel
    cdef uint32_t timeout
    for index in range(count):
        if at[0] == RESERVE:
            met = named.get(PyBytes_FromStringAndSize(<const char *>at + 32, 32))
        elif at[0] == COMMIT or at[0] == RELEASE:
            met = numbered.get(PyBytes_FromStringAndSize(<const char *>at + 32, 16))
        else:
            return None
        if met is None or <double>met.until < now:
            return None
        channel = met.quick
        if channel is None or channel.account != account or channel.livemode != livemode:
            return None
        if at[0] == RESERVE:
            timeout = at[2] << 8 | at[3]
            if (
                met.totals is None
                or met.raising
                or timeout > TIMEOUT_MAX
                or memcmp(at + 12, channel.tag, 8)
                or channel in calling
            ):
                return None
            calling.add(channel)
        found.append(met)
        at += OPERATION
    return found


cdef bytearray checked(bytes body, list found):
    """Why each operation is refused by its signature, or 0."""
    cdef Py_ssize_t count = len(found), index
    cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(body)
    cdef const unsigned char *half = <const unsigned char *>PyBytes_AS_STRING(HALF)
    cdef bytearray reasons = bytearray(count)
    cdef unsigned char *reason = <unsigned char *><char *>reasons
    cdef unsigned char *room = <unsigned char *>malloc(count * (32 + KEY) + 1)
    cdef unsigned char *digests = room
    cdef unsigned char *keys = room + count * 32
    cdef unsigned char signature[65]
    cdef bytes digest
    if room == NULL:
        raise MemoryError
    try:
        for index in range(count):
            if at[index * OPERATION] == RESERVE:
                digest = (<Channel>(<object>found[index]).quick).digest(
                    PyBytes_FromStringAndSize(<const char *>at + index * OPERATION + 20, 12)
                )
                memcpy(digests + index * 32, PyBytes_AS_STRING(digest), 32)
        with nogil:
            for index in range(count):
                if at[0] == RESERVE and (
                    at[1] < 27
                    or at[1] > 28
                    or memcmp(at + 96, half, 32) > 0
                    or not parse_signature(CONTEXT, signature, at + 64, at[1] - 27)
                    or not recover_key(
                        CONTEXT, keys + index * KEY, signature, digests + index * 32
                    )
                ):
                    reason[index] = SIGNATURE
                at += OPERATION
        at -= count * OPERATION
        for index in range(count):
            if at[index * OPERATION] == RESERVE and not reason[index]:
                if not (<Channel>(<object>found[index]).quick).is_signer(keys + index * KEY):
                    reason[index] = SIGNATURE
        return reasons
    finally:
        free(room)


cdef int plan(Asked asked, const unsigned char *at, Py_ssize_t count) except -1:
    """What the ledger is asked for, by where each channel stands."""
    cdef bytearray reasons = asked._reasons
    cdef bytes records = PyBytes_FromStringAndSize(NULL, 2 * count * RECORD)
    cdef bytes vouchers = PyBytes_FromStringAndSize(NULL, count * RECORD)
    cdef unsigned char *record = <unsigned char *>PyBytes_AS_STRING(records)
    cdef unsigned char *voucher = <unsigned char *>PyBytes_AS_STRING(vouchers)
    cdef Py_ssize_t index
    cdef object met, totals, ceiling, amount, rise
    cdef Channel channel
    for index in range(count):
        met = asked._met[index]
        channel = met.quick
        if reasons[index]:
            asked._results[index] = refused(channel, reasons[index])
        elif at[0] != RESERVE:
            put_end(record, channel, at)
            record += RECORD
        else:
            ceiling, amount = big(at + 20, 12), big(at + 4, 8)
            totals = met.totals
            highest = 0 if totals is None else max(totals.signed, ceiling)
            if (
                # A thread made it unsure while the signature was checked.
                totals is None
                or not amount
                or not ceiling
                or ceiling > totals.balance
                or totals.charged + totals.reserved + amount > highest
            ):
                # What is remembered may be behind: the long way asks.
                reasons[index] = LATER
                asked.later.append(index)
            else:
                rise = highest - totals.signed
                if rise:
                    put_raise(record, channel, totals.base, rise, met.known.raises)
                    record += RECORD
                    put_voucher(voucher, channel, ceiling, at)
                    voucher += RECORD
                    met.raising = True
                    asked._raised.append(met)
                put_call(record, channel, ceiling, amount, at)
                record += RECORD
                met.reserved(ceiling, 0, amount)
                met.totals = Totals(
                    highest,
                    totals.charged,
                    totals.reserved + amount,
                    totals.deposit - rise,
                    totals.unsigned,
                )
        at += OPERATION
    asked.records = records[: record - <unsigned char *>PyBytes_AS_STRING(records)]
    asked.vouchers = vouchers[: voucher - <unsigned char *>PyBytes_AS_STRING(vouchers)]
    return 0


cdef int put_raise(
    unsigned char *at, Channel channel, object base, object rise, dict raises
) except -1:
    """What is signed rises from a base, under the base's id."""
    cdef uint16_t code = FUNDED, flags = LINKED
    memset(at, 0, RECORD)
    channel.put_id(at, channel.raises, b"%d\x1f0\x1f%d" % (base, raises.get(base, 0)))
    memcpy(at + 16, channel.deposit, 16)
    memcpy(at + 32, channel.signed_, 16)
    put_little(at + 48, rise)
    memcpy(at + 80, channel.number, 16)
    memcpy(at + 96, &channel.unit, 8)
    memcpy(at + 124, &code, 2)
    memcpy(at + 126, &flags, 2)
    return 0


cdef int put_call(
    unsigned char *at, Channel channel, object ceiling, object amount, const unsigned char *asked
) except -1:
    """The call is reserved within what is signed."""
    cdef uint16_t code = CHARGED, flags = PENDING
    cdef uint32_t timeout = asked[2] << 8 | asked[3]
    timeout = timeout if timeout else TIMEOUT_DEFAULT
    memset(at, 0, RECORD)
    channel.put_id(at, channel.charges, b"%d:reserve\x1f0\x1f0" % ceiling)
    memcpy(at + 16, channel.signed_, 16)
    memcpy(at + 32, channel.incoming, 16)
    put_little(at + 48, amount)
    memcpy(at + 80, channel.number, 16)
    memcpy(at + 96, &channel.unit, 8)
    memcpy(at + 120, &timeout, 4)
    memcpy(at + 124, &code, 2)
    memcpy(at + 126, &flags, 2)
    return 0


cdef int put_end(unsigned char *at, Channel channel, const unsigned char *asked) except -1:
    """A call that was reserved is charged, or what it used; or it is given back."""
    cdef object ceiling = big(asked + 20, 12), amount = amount_of(asked)
    cdef int attempt = asked[2] << 8 | asked[3]
    cdef bint takes = asked[0] == COMMIT and amount
    cdef uint16_t flags = POST if takes else VOID
    memset(at, 0, RECORD)
    channel.put_id(
        at,
        channel.charges,
        b"%d:%b\x1f0\x1f%d" % (ceiling, b"commit" if takes else b"release", attempt),
    )
    if takes:
        put_little(at + 48, amount)
    channel.put_id(at + 64, channel.charges, b"%d:reserve\x1f0\x1f%d" % (ceiling, attempt))
    if attempt < ATTEMPTS:
        put_big(at + 80, <object>attempt << CEILING_BITS | ceiling, 16)
    memcpy(at + 126, &flags, 2)
    return 0


cdef int put_voucher(
    unsigned char *at, Channel channel, object ceiling, const unsigned char *asked
) except -1:
    """The payer's word, as `sakk.ledger.voucher` keeps it."""
    memset(at, 0, RECORD)
    memcpy(at, channel.number, 16)
    put_little(at + 16, ceiling)
    memcpy(at + 32, asked + 64, 64)
    at[96] = asked[1]
    return 0
