# cython: language_level=3
"""Text that is written where it stands: digits, hexadecimal, and base64 of what was written."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    static const char sakk_hexadecimal[] = "0123456789abcdef";
    static const char sakk_base64[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    """
    const char *HEXADECIMAL "sakk_hexadecimal"
    const char *ALPHABET "sakk_base64"


cdef inline bytes encoded(const unsigned char *at, Py_ssize_t size):
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


cdef inline char *put(char *out, const char *text, Py_ssize_t size) noexcept:
    memcpy(out, text, size)
    return out + size


cdef inline char *put_decimal(char *out, uint64_t number) noexcept:
    cdef char[20] digits
    cdef int at = 20
    while True:
        at -= 1
        digits[at] = <char>(48 + number % 10)
        number //= 10
        if not number:
            break
    return put(out, digits + at, 20 - at)


cdef inline void put_hexadecimal(char *out, const unsigned char *at, int size) noexcept:
    cdef int index
    for index in range(size):
        out[2 * index] = HEXADECIMAL[at[index] >> 4]
        out[2 * index + 1] = HEXADECIMAL[at[index] & 15]
