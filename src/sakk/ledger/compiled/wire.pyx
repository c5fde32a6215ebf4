# cython: language_level=3, boundscheck=False, wraparound=False
"""The short way of bodies: JSON to records, and records to records with their place.

``…_from_json`` knows one spelling of everything and answers None to whatever else: the long way in
Python (``sakk.api.ledger_body``) then reads the body again, and finds it right or words the error.
So what this reads is what the long way reads, and nothing here words an error.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

cdef extern from *:
    """
    typedef unsigned __int128 sakk_u128;
    #if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "records are little-endian, and so must be the machine that this is compiled for"
    #endif
    """
    ctypedef unsigned long long sakk_u128

ctypedef const uint8_t *Place

cdef enum:
    RECORD = 128
    BATCH_MAX = 8192
    EVENT_BYTES_MIN = 40  # an event with nothing but its id
    FLAGS_MAX = 8
    # Of an id's ninth byte; see sakk.core.ledger.
    VARIANT = 0xC0
    UUID = 0x80
    TEST_BIT = 0x40

# Which fields an event has had.
cdef enum:
    ID = 1
    DEBIT = 2
    CREDIT = 4
    AMOUNT = 8
    LEDGER = 16
    CODE = 32
    FLAGS = 64
    PENDING_ID = 128
    USER_DATA = 256
    TIMEOUT = 512
    EFFECTIVE = 1024

cdef enum Flag:
    LINKED = 1
    PENDING = 2
    POST = 4
    VOID = 8
    BALANCING_DEBIT = 16
    BALANCING_CREDIT = 32
    CLOSING_DEBIT = 64
    CLOSING_CREDIT = 128

cdef enum AccountFlag:
    DEBITS_LIMIT = 2
    CREDITS_LIMIT = 4
    HISTORY = 8
    FROZEN = 32

cdef uint8_t HEX[256]
memset(HEX, 255, 256)
cdef int _digit
for _digit in range(10):
    HEX[48 + _digit] = _digit
for _digit in range(6):
    HEX[65 + _digit] = HEX[97 + _digit] = 10 + _digit


cdef struct Reader:
    Place at
    Place end


cdef inline void skip(Reader *r) noexcept nogil:
    while r.at < r.end and (r.at[0] == 32 or r.at[0] == 10 or r.at[0] == 13 or r.at[0] == 9):
        r.at += 1


cdef inline bint take(Reader *r, uint8_t character) noexcept nogil:
    """A character of JSON's structure, with the space around it."""
    skip(r)
    if r.at >= r.end or r.at[0] != character:
        return False
    r.at += 1
    skip(r)
    return True


cdef inline int word(Reader *r, Place *start) noexcept nogil:
    """A string of plain ASCII without escapes: its length, or -1."""
    cdef uint8_t c
    if r.at >= r.end or r.at[0] != 34:
        return -1
    r.at += 1
    start[0] = r.at
    while r.at < r.end:
        c = r.at[0]
        if c == 34:
            r.at += 1
            return <int>(r.at - 1 - start[0])
        if c < 32 or c > 126 or c == 92 or r.at - start[0] > 64:
            return -1
        r.at += 1
    return -1


cdef bint read_id(Reader *r, uint8_t *out) noexcept nogil:
    """Sixteen bytes in 32 hexadecimal digits, or with a UUID's hyphens."""
    cdef Place text
    cdef int length = word(r, &text)
    cdef int index
    cdef uint8_t high, low
    if length == 36:
        if text[8] != 45 or text[13] != 45 or text[18] != 45 or text[23] != 45:
            return False
    elif length != 32:
        return False
    for index in range(16):
        if length == 36 and (index == 4 or index == 6 or index == 8 or index == 10):
            text += 1
        high = HEX[text[0]]
        low = HEX[text[1]]
        if high == 255 or low == 255:
            return False
        out[index] = high << 4 | low
        text += 2
    return True


cdef inline bint read_place(Reader *r, uint8_t *out, bint test) noexcept nogil:
    """A UUID, put in its mode's place."""
    if not read_id(r, out) or out[8] & VARIANT != UUID:
        return False
    if test:
        out[8] |= TEST_BIT
    return True


cdef bint read_whole(Reader *r, sakk_u128 *value, bint quoted) noexcept nogil:
    """A whole number without sign, point or exponent; where ``quoted``, also as a string."""
    cdef bint string = False
    cdef sakk_u128 number = 0
    cdef uint8_t digit
    cdef Place start
    if quoted and r.at < r.end and r.at[0] == 34:
        string = True
        r.at += 1
    start = r.at
    while r.at < r.end and 48 <= r.at[0] <= 57:
        digit = r.at[0] - 48
        if r.at - start >= 38:
            # 38 digits fit; of 39 not all do.
            if r.at - start > 38 or number > (~<sakk_u128>0 - digit) // 10:
                return False
        number = number * 10 + digit
        r.at += 1
    if r.at == start or (start[0] == 48 and r.at - start > 1):
        return False
    if string:
        if r.at >= r.end or r.at[0] != 34:
            return False
        r.at += 1
    elif r.at < r.end and (r.at[0] == 46 or r.at[0] == 101 or r.at[0] == 69):
        return False
    value[0] = number
    return True


cdef inline bint read_number(
    Reader *r, uint64_t *value, uint64_t least, uint64_t most, bint quoted
) noexcept nogil:
    cdef sakk_u128 number
    if not read_whole(r, &number, quoted) or number < least or number > most:
        return False
    value[0] = <uint64_t>number
    return True


cdef inline bint equal(Place text, int length, const char *name, int size) noexcept nogil:
    return length == size and memcmp(text, name, size) == 0


cdef int transfer_flag(Place text, int length) noexcept nogil:
    if equal(text, length, "linked", 6):
        return LINKED
    if equal(text, length, "pending", 7):
        return PENDING
    if equal(text, length, "post_pending", 12):
        return POST
    if equal(text, length, "void_pending", 12):
        return VOID
    if equal(text, length, "balancing_debit", 15):
        return BALANCING_DEBIT
    if equal(text, length, "balancing_credit", 16):
        return BALANCING_CREDIT
    if equal(text, length, "closing_debit", 13):
        return CLOSING_DEBIT
    if equal(text, length, "closing_credit", 14):
        return CLOSING_CREDIT
    return 0


cdef int account_flag(Place text, int length) noexcept nogil:
    if equal(text, length, "linked", 6):
        return LINKED
    if equal(text, length, "debits_must_not_exceed_credits", 30):
        return DEBITS_LIMIT
    if equal(text, length, "credits_must_not_exceed_debits", 30):
        return CREDITS_LIMIT
    if equal(text, length, "history", 7):
        return HISTORY
    if equal(text, length, "frozen", 6):
        return FROZEN
    return 0


cdef bint read_flags(Reader *r, uint16_t *flags, bint accounts) noexcept nogil:
    cdef Place text
    cdef int length, flag, count = 0
    if not take(r, 91):
        return False
    if take(r, 93):
        return True
    while True:
        length = word(r, &text)
        flag = account_flag(text, length) if accounts else transfer_flag(text, length)
        count += 1
        if length < 0 or flag == 0 or count > FLAGS_MAX:
            return False
        flags[0] |= <uint16_t>flag
        skip(r)
        if r.at < r.end and r.at[0] == 93:
            r.at += 1
            return True
        if not take(r, 44):
            return False


cdef uint64_t unit_of(uint64_t ledger, bint test) noexcept nogil:
    if ledger == 0:
        return 0
    return ledger | <uint64_t>1 << 63 | (<uint64_t>1 << 62 if test else 0)


cdef int transfer_field(
    Reader *r, Place name, int length, uint8_t *out, bint test
) noexcept nogil:
    """Read one field's value into its record; the field's bit, or 0."""
    cdef sakk_u128 amount
    cdef uint64_t number
    cdef uint16_t flags = 0
    if equal(name, length, "id", 2):
        return ID if read_place(r, out, test) else 0
    if equal(name, length, "debit_account_id", 16):
        return DEBIT if read_place(r, out + 16, test) else 0
    if equal(name, length, "credit_account_id", 17):
        return CREDIT if read_place(r, out + 32, test) else 0
    if equal(name, length, "amount", 6):
        if not read_whole(r, &amount, True):
            return 0
        memcpy(out + 48, &amount, 16)
        return AMOUNT
    if equal(name, length, "pending_id", 10):
        return PENDING_ID if read_place(r, out + 64, test) else 0
    if equal(name, length, "user_data", 9):
        return USER_DATA if read_id(r, out + 80) else 0
    if equal(name, length, "ledger", 6):
        if not read_number(r, &number, 1, (<uint64_t>1 << 62) - 1, False):
            return 0
        number = unit_of(number, test)
        memcpy(out + 96, &number, 8)
        return LEDGER
    if equal(name, length, "effective_at", 12):
        if not read_number(r, &number, 0, (<uint64_t>1 << 63) - 1, True):
            return 0
        memcpy(out + 104, &number, 8)
        return EFFECTIVE
    if equal(name, length, "timeout_seconds", 15):
        if not read_number(r, &number, 0, 0xFFFFFFFF, False):
            return 0
        memcpy(out + 120, &number, 4)
        return TIMEOUT
    if equal(name, length, "code", 4):
        if not read_number(r, &number, 1, 0xFFFF, False):
            return 0
        memcpy(out + 124, &number, 2)
        return CODE
    if equal(name, length, "flags", 5):
        if not read_flags(r, &flags, False):
            return 0
        memcpy(out + 126, &flags, 2)
        return FLAGS
    return 0


cdef int account_field(
    Reader *r, Place name, int length, uint8_t *out, bint test
) noexcept nogil:
    """Read one field's value into its record; the field's bit, or 0."""
    cdef uint64_t number
    cdef uint16_t flags = 0
    if equal(name, length, "id", 2):
        return ID if read_place(r, out, test) else 0
    if equal(name, length, "user_data", 9):
        return USER_DATA if read_id(r, out + 80) else 0
    if equal(name, length, "ledger", 6):
        if not read_number(r, &number, 1, (<uint64_t>1 << 62) - 1, False):
            return 0
        number = unit_of(number, test)
        memcpy(out + 96, &number, 8)
        return LEDGER
    if equal(name, length, "code", 4):
        if not read_number(r, &number, 1, 0xFFFF, False):
            return 0
        memcpy(out + 112, &number, 2)
        return CODE
    if equal(name, length, "flags", 5):
        if not read_flags(r, &flags, True):
            return 0
        memcpy(out + 114, &flags, 2)
        return FLAGS
    return 0


cdef bint read_fields(Reader *r, uint8_t *out, bint accounts, bint test) noexcept nogil:
    """The fields of an event, from the first name to the closing brace."""
    cdef Place name
    cdef int length, bit, seen = 0
    cdef uint16_t flags
    while True:
        length = word(r, &name)
        if length < 0 or not take(r, 58):
            return False
        if accounts:
            bit = account_field(r, name, length, out, test)
        else:
            bit = transfer_field(r, name, length, out, test)
        if bit == 0 or seen & bit:
            return False
        seen |= bit
        skip(r)
        if r.at >= r.end:
            return False
        if r.at[0] == 125:
            r.at += 1
            break
        if not take(r, 44):
            return False
    if accounts:
        return seen & (ID | LEDGER | CODE) == (ID | LEDGER | CODE)
    if not seen & AMOUNT:
        memcpy(&flags, out + 126, 2)
        if flags & POST:
            memset(out + 48, 255, 16)
    return seen & ID != 0


cdef object read_body(bytes body, bint accounts, bint test):
    """One event, or a list of them under its name, and whether it was one; else None."""
    cdef Reader r
    cdef Place begin, name
    cdef int length
    cdef Py_ssize_t capacity, count = 0
    cdef uint8_t *out
    cdef bint single = False
    r.at = <Place>PyBytes_AS_STRING(body)
    r.end = r.at + PyBytes_GET_SIZE(body)
    capacity = PyBytes_GET_SIZE(body) // EVENT_BYTES_MIN + 1
    if capacity > BATCH_MAX:
        capacity = BATCH_MAX
    if not take(&r, 123):
        return None
    begin = r.at
    length = word(&r, &name)
    out = <uint8_t *>malloc(capacity * RECORD)
    if out == NULL:
        raise MemoryError
    try:
        if not equal(name, length, "accounts" if accounts else "transfers", 8 if accounts else 9):
            r.at = begin
            memset(out, 0, RECORD)
            if not read_fields(&r, out, accounts, test):
                return None
            count = 1
            single = True
        else:
            if not take(&r, 58) or not take(&r, 91):
                return None
            while True:
                if count == capacity or not take(&r, 123):
                    return None
                memset(out + count * RECORD, 0, RECORD)
                if not read_fields(&r, out + count * RECORD, accounts, test):
                    return None
                count += 1
                skip(&r)
                if r.at < r.end and r.at[0] == 93:
                    r.at += 1
                    break
                if not take(&r, 44):
                    return None
            if not take(&r, 125):
                return None
        skip(&r)
        if r.at != r.end:
            return None
        return PyBytes_FromStringAndSize(<char *>out, count * RECORD), single
    finally:
        free(out)


def transfers_from_json(bytes body not None, bint test):
    """Records of the transfers in a body, placed as its mode says, and whether it was one alone."""
    return read_body(body, False, test)


def accounts_from_json(bytes body not None, bint test):
    """Records of the accounts in a body, placed as its mode says, and whether it was one alone."""
    return read_body(body, True, test)


cdef inline bint place_id(uint8_t *identifier, bint optional, bint test) noexcept nogil:
    cdef uint64_t words[2]
    if identifier[8] & VARIANT == UUID:
        if test:
            identifier[8] |= TEST_BIT
        return True
    memcpy(words, identifier, 16)
    return optional and words[0] == 0 and words[1] == 0


cdef inline bint place_unit(uint8_t *at, bint test) noexcept nogil:
    cdef uint64_t unit
    memcpy(&unit, at, 8)
    if unit >> 62:
        return False
    unit = unit_of(unit, test)
    memcpy(at, &unit, 8)
    return True


cdef tuple place(bytes records, bint accounts, bint test):
    cdef Py_ssize_t count = PyBytes_GET_SIZE(records) // RECORD
    cdef Py_ssize_t index
    cdef int wrong
    cdef bytes placed = PyBytes_FromStringAndSize(PyBytes_AS_STRING(records), count * RECORD)
    cdef uint8_t *record = <uint8_t *>PyBytes_AS_STRING(placed)
    for index in range(count):
        wrong = -1
        if not place_id(record, False, test):
            wrong = 0
        elif not accounts and not place_id(record + 16, True, test):
            wrong = 16
        elif not accounts and not place_id(record + 32, True, test):
            wrong = 32
        elif not accounts and not place_id(record + 64, True, test):
            wrong = 64
        elif not place_unit(record + 96, test):
            wrong = 96
        if wrong >= 0:
            return None, index, wrong
        record += RECORD
    return placed, 0, 0


def place_transfers(bytes records not None, bint test):
    """Records placed as their mode says; else None, an index and a field's offset."""
    return place(records, False, test)


def place_accounts(bytes records not None, bint test):
    """Records placed as their mode says; else None, an index and a field's offset."""
    return place(records, True, test)


def place_ids(bytes ids not None, bint test):
    """Ids of a caller's own as their mode says; zeros, which nothing has, for any other."""
    cdef Py_ssize_t count = PyBytes_GET_SIZE(ids) // 16
    cdef Py_ssize_t index
    cdef bytes placed = PyBytes_FromStringAndSize(PyBytes_AS_STRING(ids), count * 16)
    cdef uint8_t *at = <uint8_t *>PyBytes_AS_STRING(placed)
    for index in range(count):
        if not place_id(at, False, test):
            memset(at, 0, 16)
        at += 16
    return placed
