# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Bodies of charges' records, to the ledger's and back: ``sakk.api.charge`` is the specification.

The same answers, byte for byte, for sessions that are remembered.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from sakk.api.compiled.sha256 cimport MacKey, is_same, put_mac, set_key, use_instructions

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    typedef unsigned __int128 sakk_amount;

    static inline uint64_t sakk_big64(const unsigned char *at)
    {
        uint64_t value;
        memcpy(&value, at, 8);
        return __builtin_bswap64(value);
    }

    static inline void sakk_put_big64(unsigned char *at, uint64_t value)
    {
        value = __builtin_bswap64(value);
        memcpy(at, &value, 8);
    }

    static inline sakk_amount sakk_big128(const unsigned char *at)
    {
        return (sakk_amount)sakk_big64(at) << 64 | sakk_big64(at + 8);
    }

    static inline void sakk_put_little128(unsigned char *at, sakk_amount value)
    {
        memcpy(at, &value, 16);
    }
    """
    # 128 bits; never turned into a Python number.
    ctypedef unsigned long long Amount "sakk_amount"
    uint64_t big64 "sakk_big64"(const unsigned char *at) noexcept nogil
    void put_big64 "sakk_put_big64"(unsigned char *at, uint64_t value) noexcept nogil
    Amount big128 "sakk_big128"(const unsigned char *at) noexcept nogil
    void put_little128 "sakk_put_little128"(unsigned char *at, Amount value) noexcept nogil

cdef enum:
    OPERATION = 128
    RESULT = 96
    RECORD = 128
    RESERVE = 1
    COMMIT = 2
    RELEASE = 3
    TIMEOUT_DEFAULT = 60
    TIMEOUT_MAX = 3600
    CODE = 601
    PENDING = 1 << 1
    POST = 1 << 2
    VOID = 1 << 3
    EXISTS = 1
    # Why an operation is refused before the ledger is asked.
    DONE = 0
    MALFORMED = 1
    SESSION_UNKNOWN = 2
    SESSION_EXPIRED = 3
    MAC_INVALID = 4
    CURRENCY_MISMATCH = 5
    OVER_LIMIT = 6


cdef class Session:
    """A session as it is remembered, in the bytes that are needed."""

    cdef MacKey key
    cdef unsigned char session[16]
    cdef unsigned char channel[16]
    cdef unsigned char payer[20]
    cdef unsigned char payee[16]
    cdef unsigned char currency[16]
    cdef unsigned char debit[16]
    cdef unsigned char credit[16]
    cdef uint64_t handle
    cdef uint64_t unit
    cdef Amount amount_min
    cdef Amount amount_max
    cdef double expires_at
    cdef double until
    cdef bint livemode
    cdef str payee_id

    def __init__(self, held: object) -> None:
        cdef bytes key = held.key
        if len(key) != 32:
            raise ValueError("a session's key has 32 bytes")
        set_key(&self.key, <const unsigned char *>PyBytes_AS_STRING(key))
        fill(self.session, held.session, 16)
        fill(self.channel, held.channel, 16)
        fill(self.payer, held.payer, 20)
        fill(self.payee, held.payee, 16)
        fill(self.currency, held.currency, 16)
        fill(self.debit, held.debit, 16)
        fill(self.credit, held.credit, 16)
        self.handle, self.unit = held.handle, held.unit
        self.amount_min = amount_of(held.amount_min)
        self.amount_max = amount_of(held.amount_max)
        self.expires_at, self.until = held.expires_at, held.until
        self.livemode, self.payee_id = held.livemode, held.payee_id


cdef int fill(unsigned char *at, bytes value, Py_ssize_t size) except -1:
    if len(value) != size:
        raise ValueError(f"{size} bytes are needed, not {len(value)}")
    memcpy(at, PyBytes_AS_STRING(value), size)
    return 0


cdef Amount amount_of(object value) except *:
    cdef bytes encoded = value.to_bytes(16, "big")
    return big128(<const unsigned char *>PyBytes_AS_STRING(encoded))


cdef class Asked:
    """A body that was read. ``records``: what the ledger is asked, of what is not refused here."""

    cdef readonly bytes records
    cdef bytes _body
    cdef bytes _reasons
    cdef list _sessions
    cdef bytes _reserve_reasons
    cdef bytes _end_reasons

    def answer(self, bytes results not None) -> bytes:
        """The body's results, 96 bytes each, from the ledger's of its records."""
        cdef Py_ssize_t count = len(self._body) // OPERATION, asked = len(self.records) // RECORD
        cdef const unsigned char *body = <const unsigned char *>PyBytes_AS_STRING(self._body)
        cdef const unsigned char *told = <const unsigned char *>PyBytes_AS_STRING(results)
        cdef const unsigned char *reasons
        cdef bytes answer = PyBytes_FromStringAndSize(NULL, count * RESULT)
        cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(answer)
        cdef Py_ssize_t index, position = 0
        cdef uint64_t timestamp
        cdef uint32_t status
        if len(results) != asked * 9:
            raise ValueError(f"{asked} results of 9 bytes are needed, not {len(results)} bytes")
        memset(at, 0, count * RESULT)
        reasons = <const unsigned char *>PyBytes_AS_STRING(self._reasons)
        for index in range(count):
            at[0] = reasons[index]
            if not reasons[index]:
                memcpy(&timestamp, told + position * 8, 8)
                status = told[asked * 8 + position]
                position += 1
                self._tell(at, body, <Session>self._sessions[index], status, timestamp)
            at += RESULT
            body += OPERATION
        return answer

    cdef int _tell(
        self,
        unsigned char *at,
        const unsigned char *operation,
        Session held,
        uint32_t status,
        uint64_t timestamp,
    ) except -1:
        """What became of one operation that the ledger was asked."""
        cdef unsigned char message[103]
        cdef bytes reasons
        if status and (operation[0] == RESERVE or status > EXISTS):
            reasons = self._reserve_reasons if operation[0] == RESERVE else self._end_reasons
            at[0] = <unsigned char>reasons[status]
            return 0
        memcpy(at + 4, held.payer, 20)
        put_big64(at + 24, timestamp)
        if operation[0] != RELEASE:
            memcpy(at + 32, operation + 32, 16)
        memcpy(at + 80, held.channel, 16)
        if operation[0] == RESERVE:
            memcpy(message, b"sakk.receipt.1\x01", 15)
            memcpy(message + 15, held.session, 16)
            memcpy(message + 31, operation + 8, 8)
            memcpy(message + 39, operation + 32, 16)
            memset(message + 55, 0, 8)
            memcpy(message + 63, held.payee, 16)
            memcpy(message + 79, operation + 48, 16)
            put_big64(message + 95, timestamp)
            put_mac(&held.key, message, 103, at + 48)
        return 0


def ask(
    bytes body not None,
    dict sessions not None,
    str payee_id not None,
    bint livemode,
    double now,
    bytes reserve_reasons not None,
    bytes end_reasons not None,
) -> Asked | None:
    """Read a body of whole records; None where a session is not remembered, or for too long.

    ``…_reasons``: by the ledger's status, 256 bytes.
    """
    cdef Py_ssize_t count = len(body) // OPERATION, index
    cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(body)
    cdef bytes records = PyBytes_FromStringAndSize(NULL, count * RECORD)
    cdef bytes reasons = PyBytes_FromStringAndSize(NULL, count)
    cdef unsigned char *record = <unsigned char *>PyBytes_AS_STRING(records)
    cdef unsigned char *reason = <unsigned char *>PyBytes_AS_STRING(reasons)
    cdef Py_ssize_t size = 0
    cdef Asked asked
    cdef Session held
    cdef object found
    if len(reserve_reasons) != 256 or len(end_reasons) != 256 or len(body) % OPERATION:
        raise ValueError("reasons have 256 bytes, operations 128")
    asked = Asked()
    asked._sessions = []
    for index in range(count):
        found = sessions.get(body[index * OPERATION + 16 : index * OPERATION + 32])
        if found is None:
            return None
        held = <Session?>found
        if held.until < now:
            return None
        if held.payee_id != payee_id or held.livemode != livemode:
            reason[index] = SESSION_UNKNOWN
        else:
            reason[index] = judge(at, held, now)
        if not reason[index]:
            put_transfer(record + size, at, held)
            size += RECORD
        asked._sessions.append(held)
        at += OPERATION
    asked._body, asked._reasons = body, reasons
    asked._reserve_reasons, asked._end_reasons = reserve_reasons, end_reasons
    asked.records = records if size == count * RECORD else records[:size]
    return asked


def hash_by_machine(bint wanted) -> bool:
    """Hash by the processor's own instructions, or not; were they there? For tests."""
    return use_instructions(wanted)


cdef unsigned char judge(const unsigned char *operation, Session held, double now) noexcept:
    """Why an operation is refused before the ledger is asked, or 0."""
    cdef unsigned char message[99]
    cdef unsigned char mac[32]
    cdef Amount amount = big128(operation + 32)
    cdef uint32_t timeout = operation[2] << 8 | operation[3]
    if operation[8] & 0x80:
        return MALFORMED
    if operation[0] == COMMIT:
        return MALFORMED if amount == 0 else DONE
    if operation[0] == RELEASE:
        return DONE
    if operation[0] != RESERVE or amount == 0 or amount + 1 == 0 or timeout > TIMEOUT_MAX:
        return MALFORMED
    if held.expires_at <= now:
        return SESSION_EXPIRED
    memcpy(message, b"sakk.call.1", 11)
    memcpy(message + 11, held.session, 16)
    memcpy(message + 27, operation + 8, 8)
    memcpy(message + 35, operation + 32, 16)
    memcpy(message + 51, held.payee, 16)
    memcpy(message + 67, operation + 48, 32)
    put_mac(&held.key, message, 99, mac)
    if not is_same(mac, operation + 80, 32):
        return MAC_INVALID
    if memcmp(held.currency, operation + 112, 16):
        return CURRENCY_MISMATCH
    if amount < held.amount_min or amount > held.amount_max:
        return OVER_LIMIT
    return DONE


cdef void put_id(
    unsigned char *at, Session held, const unsigned char *operation, int step
) noexcept:
    put_big64(at, held.handle << 2 | <uint64_t>step)
    memcpy(at + 8, operation + 8, 8)


cdef void put_transfer(unsigned char *at, const unsigned char *operation, Session held) noexcept:
    """The ledger's transfer of an operation."""
    cdef uint32_t timeout = operation[2] << 8 | operation[3]
    cdef uint16_t code = CODE, flags = PENDING
    memset(at, 0, RECORD)
    if operation[0] != RELEASE:
        put_little128(at + 48, big128(operation + 32))
    if operation[0] == RESERVE:
        put_id(at, held, operation, 0)
        memcpy(at + 16, held.debit, 16)
        memcpy(at + 32, held.credit, 16)
        memcpy(at + 80, operation + 48, 16)
        memcpy(at + 96, &held.unit, 8)
        timeout = timeout if timeout else TIMEOUT_DEFAULT
        memcpy(at + 120, &timeout, 4)
        memcpy(at + 124, &code, 2)
    else:
        put_id(at, held, operation, operation[0] - 1)
        put_id(at + 64, held, operation, 0)
        flags = POST if operation[0] == COMMIT else VOID
        if operation[0] == COMMIT:
            at[87] = 1  # that units are said
            memcpy(at + 88, operation + 48, 8)
    memcpy(at + 126, &flags, 2)
