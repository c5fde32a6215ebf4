# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Calls of sessions, to records and from results: ``sakk.paywall.record`` is the specification.

And calls by voucher, whose specification is ``sakk.paywall.voucher`` with ``sakk.paywall.escrow``.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sakk.paywall.compiled.text cimport (
    ALPHABET, HEXADECIMAL, encoded, put, put_decimal, put_hexadecimal,
)

cdef enum:
    RECORD = 128
    RESULT = 96
    RESERVE = 1
    DIGITS = 39  # of a number of 128 bits

cdef int8_t[256] SEXTETS
cdef int8_t[256] NIBBLES


cdef void make_tables() noexcept:
    cdef int index
    memset(SEXTETS, -1, 256)
    memset(NIBBLES, -1, 256)
    for index in range(64):
        SEXTETS[<unsigned char>ALPHABET[index]] = index
    for index in range(16):
        NIBBLES[<unsigned char>HEXADECIMAL[index]] = index
    for index in range(10, 16):
        NIBBLES[<unsigned char>HEXADECIMAL[index] - 32] = index


make_tables()


def decode(bytes header not None) -> bytes | None:
    """Base64 of whole groups, with its padding and nothing else; None where it is not that."""
    cdef Py_ssize_t size = len(header), groups = size // 4, index
    cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(header)
    cdef int padding = 0
    cdef int a, b, c, d, bad = 0
    cdef uint32_t word
    cdef bytes decoded
    cdef unsigned char *out
    if not size or size % 4:
        return None
    if at[size - 1] == c"=":
        padding = 2 if at[size - 2] == c"=" else 1
    decoded = PyBytes_FromStringAndSize(NULL, groups * 3 - padding)
    out = <unsigned char *>PyBytes_AS_STRING(decoded)
    for index in range(groups - (1 if padding else 0)):
        a, b, c, d = SEXTETS[at[0]], SEXTETS[at[1]], SEXTETS[at[2]], SEXTETS[at[3]]
        bad |= a | b | c | d
        word = <uint32_t>a << 18 | <uint32_t>b << 12 | <uint32_t>c << 6 | <uint32_t>d
        out[0], out[1], out[2] = word >> 16 & 0xff, word >> 8 & 0xff, word & 0xff
        at += 4
        out += 3
    if padding:
        a, b = SEXTETS[at[0]], SEXTETS[at[1]]
        c = SEXTETS[at[2]] if padding == 1 else 0
        bad |= a | b | c
        out[0] = <unsigned char>(a << 2 | b >> 4)
        if padding == 1:
            out[1] = <unsigned char>(b << 4 | c >> 2)
    return None if bad < 0 else decoded


def reserve_record(
    bytes session not None,
    uint64_t nonce,
    object amount not None,
    bytes request not None,
    str mac not None,
    bytes currency not None,
    uint16_t timeout_seconds,
) -> bytes:
    """A reserve; ValueError where ``mac`` is not 64 hexadecimal digits."""
    cdef bytes record = PyBytes_FromStringAndSize(NULL, RECORD)
    cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(record)
    cdef bytes digits
    cdef const unsigned char *digit
    cdef int index, high, low, bad = 0
    if len(session) != 16 or len(request) != 32 or len(currency) != 16:
        raise ValueError("a session and a currency have 16 bytes, a request's hash 32")
    if len(mac) != 64 or not mac.isascii():
        raise ValueError("64 hexadecimal digits are needed")
    memset(at, 0, RECORD)
    at[0] = RESERVE
    at[2], at[3] = timeout_seconds >> 8, timeout_seconds & 0xff
    put_number(at + 8, nonce)
    memcpy(at + 16, PyBytes_AS_STRING(session), 16)
    put_amount(at + 32, amount)
    memcpy(at + 48, PyBytes_AS_STRING(request), 32)
    digits = mac.encode("ascii")
    digit = <const unsigned char *>PyBytes_AS_STRING(digits)
    for index in range(32):
        high, low = NIBBLES[digit[2 * index]], NIBBLES[digit[2 * index + 1]]
        bad |= high | low
        at[80 + index] = <unsigned char>(high << 4 | low)
    if bad < 0:
        raise ValueError("64 hexadecimal digits are needed")
    memcpy(at + 112, PyBytes_AS_STRING(currency), 16)
    return record


def end_record(
    unsigned char operation,
    bytes session not None,
    uint64_t nonce,
    object amount not None,
    uint64_t units,
) -> bytes:
    """A commit or a release."""
    cdef bytes record = PyBytes_FromStringAndSize(NULL, RECORD)
    cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(record)
    if len(session) != 16:
        raise ValueError("a session has 16 bytes")
    memset(at, 0, RECORD)
    at[0] = operation
    put_number(at + 8, nonce)
    memcpy(at + 16, PyBytes_AS_STRING(session), 16)
    put_amount(at + 32, amount)
    put_number(at + 48, units)
    return record


def told(
    bytes start not None,
    bytes go_on not None,
    uint64_t nonce,
    object amount not None,
    bytes request not None,
    bytes result not None,
) -> tuple[bytes, str]:
    """PAYMENT-RESPONSE's value of what was reserved, and who pays."""
    cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(result)
    cdef bytes amount_digits = b"%d" % amount
    cdef bytes text
    cdef char[40] payer
    cdef char *out
    cdef Py_ssize_t size
    if len(result) != RESULT or len(request) != 32 or len(amount_digits) > DIGITS:
        raise ValueError("a result has 96 bytes, a request's hash 32, an amount 128 bits")
    put_hexadecimal(payer, at + 4, 20)
    # Three numbers of 64 bits, two amounts, three values in hexadecimal, and the words between.
    size = len(start) + len(go_on) + 3 * 20 + 2 * DIGITS + 64 + 64 + 40 + 128
    text = PyBytes_FromStringAndSize(NULL, size)
    out = PyBytes_AS_STRING(text)
    out = put(out, PyBytes_AS_STRING(start), len(start))
    out = put_decimal(out, nonce)
    out = put(out, b'","amount":"', 12)
    out = put(out, PyBytes_AS_STRING(amount_digits), len(amount_digits))
    out = put(out, b'","timestamp":"', 15)
    out = put_decimal(out, number_of(at + 24))
    out = put(out, b'","request_hash":"', 18)
    put_hexadecimal(out, <const unsigned char *>PyBytes_AS_STRING(request), 32)
    out = put(out + 64, b'","mac":"', 9)
    put_hexadecimal(out, at + 48, 32)
    out = put(out + 64, PyBytes_AS_STRING(go_on), len(go_on))
    out = put_decimal(out, nonce)
    out = put(out, b'","amount":"', 12)
    out = put(out, PyBytes_AS_STRING(amount_digits), len(amount_digits))
    out = put(out, b'","payer":"0x', 13)
    out = put(out, payer, 40)
    out = put(out, b'"}', 2)
    size = out - PyBytes_AS_STRING(text)
    return (
        encoded(<const unsigned char *>PyBytes_AS_STRING(text), size),
        "0x" + PyUnicode_DecodeASCII(payer, 40, NULL),
    )


cdef uint64_t number_of(const unsigned char *at) noexcept:
    cdef uint64_t number = 0
    cdef int index
    for index in range(8):
        number = number << 8 | at[index]
    return number


cdef void put_number(unsigned char *at, uint64_t number) noexcept:
    cdef int index
    for index in range(8):
        at[index] = number >> (56 - 8 * index) & 0xff


cdef int put_amount(unsigned char *at, object amount) except -1:
    """16 bytes, of which eight are mostly zero already."""
    cdef bytes whole
    if 0 <= amount <= 0xffffffffffffffff:
        put_number(at + 8, amount)
    else:
        whole = amount.to_bytes(16, "big")
        memcpy(at, PyBytes_AS_STRING(whole), 16)
    return 0


# Vouchers

cdef enum:
    VOUCHER = 4
    VOUCHER_COMMIT = 5


def voucher_record(
    str channel not None,
    str ceiling not None,
    str signature not None,
    uint64_t amount,
    bytes tag not None,
    uint16_t timeout_seconds,
) -> bytes | None:
    """A reserve by a voucher of the wire; None where the way at length says what is wrong."""
    cdef bytes record
    cdef unsigned char *at
    cdef unsigned char[65] signed
    cdef object total
    if len(channel) != 66 or len(signature) != 132 or not 0 < len(ceiling) <= 29:
        return None
    if not ceiling.isascii() or not ceiling.isdigit() or len(tag) != 8:
        return None
    total = int(ceiling)
    if total >> 96 or amount == <uint64_t>0xffffffffffffffff:
        return None
    record = PyBytes_FromStringAndSize(NULL, RECORD)
    at = <unsigned char *>PyBytes_AS_STRING(record)
    if not take_hexadecimal(at + 32, channel, 32) or not take_hexadecimal(signed, signature, 65):
        return None
    at[0], at[1] = VOUCHER, signed[64]
    at[2], at[3] = timeout_seconds >> 8, timeout_seconds & 0xff
    put_number(at + 4, amount)
    memcpy(at + 12, PyBytes_AS_STRING(tag), 8)
    put_total(at + 20, total)
    memcpy(at + 64, signed, 64)
    return record


def voucher_end(bytes record not None, bytes result not None, bint takes) -> bytes:
    """A commit of all that a record reserved, or its release, by the reserve's result."""
    cdef bytes ended = PyBytes_FromStringAndSize(NULL, RECORD)
    cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(ended)
    if len(record) != RECORD or len(result) != RESULT:
        raise ValueError("a record has 128 bytes, a result 96")
    memset(at, 0, RECORD)
    at[0] = VOUCHER_COMMIT if takes else VOUCHER_COMMIT + 1
    memcpy(at + 2, PyBytes_AS_STRING(result) + 2, 2)
    if takes:
        memset(at + 4, 0xff, 8)
    memcpy(at + 20, PyBytes_AS_STRING(record) + 20, 12)
    memcpy(at + 32, PyBytes_AS_STRING(result) + 80, 16)
    return ended


def voucher_told(
    bytes start not None, bytes record not None, bytes result not None
) -> tuple[bytes, str, str]:
    """PAYMENT-RESPONSE's value of what a voucher reserved, who pays, and by what it is named."""
    cdef const unsigned char *asked = <const unsigned char *>PyBytes_AS_STRING(record)
    cdef const unsigned char *at = <const unsigned char *>PyBytes_AS_STRING(result)
    cdef bytes text, total
    cdef char[40] payer
    cdef char[64] channel
    cdef char *out
    if len(record) != RECORD or len(result) != RESULT:
        raise ValueError("a record has 128 bytes, a result 96")
    put_hexadecimal(payer, at + 4, 20)
    put_hexadecimal(channel, asked + 32, 32)
    total = b"%d" % total_of(asked + 20)
    # Three totals of 96 bits, two numbers of 64, two values in hexadecimal, and the words between.
    text = PyBytes_FromStringAndSize(NULL, len(start) + 3 * 29 + 2 * 20 + 64 + 40 + 320)
    out = PyBytes_AS_STRING(text)
    out = put(out, PyBytes_AS_STRING(start), len(start))
    out = put(out, b'","payer":"0x', 13)
    out = put(out, payer, 40)
    out = put(out, b'","amount":"","extra":{"chargedAmount":"', 40)
    out = put_decimal(out, number_of(asked + 4))
    out = put(out, b'","channelState":{"channelId":"0x', 33)
    out = put(out, channel, 64)
    out = put(out, b'","balance":"', 13)
    out = put_total_digits(out, at + 48)
    out = put(out, b'","totalClaimed":"', 18)
    out = put_total_digits(out, at + 60)
    out = put(out, b'","withdrawRequestedAt":', 24)
    out = put_decimal(out, number_of(at + 72))
    out = put(out, b',"refundNonce":"0","chargedCumulativeAmount":"', 46)
    out = put(out, PyBytes_AS_STRING(total), len(total))
    out = put(out, b'"}}}', 4)
    return (
        encoded(
            <const unsigned char *>PyBytes_AS_STRING(text), out - PyBytes_AS_STRING(text)
        ),
        "0x" + PyUnicode_DecodeASCII(payer, 40, NULL),
        "0x" + PyUnicode_DecodeASCII(channel, 64, NULL) + ":" + total.decode("ascii"),
    )


cdef bint take_hexadecimal(unsigned char *out, str text, int size) except -1:
    """Bytes of 0x-hex of a length that was looked at; False where it is none."""
    cdef bytes digits
    cdef const unsigned char *digit
    cdef int index, high, low, bad = 0
    if not text.isascii():
        return False
    digits = text.encode("ascii")
    digit = <const unsigned char *>PyBytes_AS_STRING(digits)
    if digit[0] != c"0" or digit[1] != c"x":
        return False
    for index in range(1, size + 1):
        high, low = NIBBLES[digit[2 * index]], NIBBLES[digit[2 * index + 1]]
        bad |= high | low
        out[index - 1] = <unsigned char>(high << 4 | low)
    return bad >= 0


cdef object total_of(const unsigned char *at):
    """A total of 12 bytes."""
    cdef uint64_t low = number_of(at + 4)
    cdef uint64_t high = <uint64_t>at[0] << 24 | <uint64_t>at[1] << 16 | at[2] << 8 | at[3]
    return <object>high << 64 | low if high else low


cdef char *put_total_digits(char *out, const unsigned char *at) except NULL:
    cdef bytes digits
    if not (at[0] | at[1] | at[2] | at[3]):
        return put_decimal(out, number_of(at + 4))
    digits = b"%d" % total_of(at)
    return put(out, PyBytes_AS_STRING(digits), len(digits))


cdef int put_total(unsigned char *at, object total) except -1:
    cdef bytes whole
    memset(at, 0, 4)
    if total <= 0xffffffffffffffff:
        put_number(at + 4, total)
    else:
        whole = total.to_bytes(12, "big")
        memcpy(at, PyBytes_AS_STRING(whole), 12)
    return 0
