# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Calls of sessions, to records and from results: ``sakk.paywall.record`` is the specification."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef enum:
    RECORD = 128
    RESULT = 96
    RESERVE = 1
    DIGITS = 39  # of a number of 128 bits

cdef const char *HEXADECIMAL = b"0123456789abcdef"
cdef const char *ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
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


cdef bytes encoded(const unsigned char *at, Py_ssize_t size):
    """Base64 with padding."""
    cdef Py_ssize_t groups = (size + 2) // 3, index
    cdef bytes text = PyBytes_FromStringAndSize(NULL, groups * 4)
    cdef char *out = PyBytes_AS_STRING(text)
    cdef uint32_t word
    for index in range(size // 3):
        word = <uint32_t>at[0] << 16 | <uint32_t>at[1] << 8 | at[2]
        out[0], out[1] = ALPHABET[word >> 18], ALPHABET[word >> 12 & 63]
        out[2], out[3] = ALPHABET[word >> 6 & 63], ALPHABET[word & 63]
        at += 3
        out += 4
    if size % 3:
        word = <uint32_t>at[0] << 16 | (<uint32_t>at[1] << 8 if size % 3 == 2 else 0)
        out[0], out[1] = ALPHABET[word >> 18], ALPHABET[word >> 12 & 63]
        out[2] = ALPHABET[word >> 6 & 63] if size % 3 == 2 else c"="
        out[3] = c"="
    return text


cdef char *put(char *out, const char *text, Py_ssize_t size) noexcept:
    memcpy(out, text, size)
    return out + size


cdef char *put_decimal(char *out, uint64_t number) noexcept:
    cdef char[20] digits
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = <char>(48 + number % 10)
        number //= 10
        if not number:
            break
    return put(out, digits + at, 20 - at)


cdef void put_hexadecimal(char *out, const unsigned char *at, int size) noexcept:
    cdef int index
    for index in range(size):
        out[2 * index] = HEXADECIMAL[at[index] >> 4]
        out[2 * index + 1] = HEXADECIMAL[at[index] & 15]


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
