"""CRC-32C, the checksum in TensorFlow's files. It is computed for many pieces of the data at once and then joined.

A checksum that starts from zero is linear over bits. Therefore the checksum of two pieces, one after the other, is

    crc(a b) = shift(crc(a), number of bytes in b) ^ crc(b)

where shift(c, n) is the checksum after n zero bytes, if it was c before them. The real checksum starts from all ones,
which adds the shift of this start.
"""

from functools import cache

import numpy as np

POLYNOMIAL = np.uint32(0x82F63B78)
ONES = np.uint32(0xFFFFFFFF)
# Powers of two: the bytes in a piece, and the bytes that are computed at once and fit into the cache.
PIECE, LARGEST = 10, 21


def crc32c(data):
    """The CRC-32C of bytes."""
    data = np.frombuffer(data, np.uint8)
    crc = np.uint32(0)
    for begin in range(0, len(data), 1 << LARGEST):
        part = data[begin:begin + (1 << LARGEST)]
        crc = _shift(crc, len(part)) ^ _from_zero(part)
    return int(crc ^ _shift(ONES, len(data)) ^ ONES)


def masked_crc32c(data):
    """Masked as TensorFlow stores it: rotated, plus a constant, because a CRC of data that contains CRCs is weak."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _from_zero(data):
    """The checksum of at most 2**LARGEST bytes that starts from zero."""
    bits = (len(data) - 1).bit_length()
    piece = min(PIECE, max(1, bits // 2))
    # Zeros in front of the data do not change a checksum that starts from zero.
    padded = np.zeros(1 << max(bits, piece), np.uint8)
    padded[len(padded) - len(data):] = data
    words = padded.view("<u2").reshape(-1, 1 << piece - 1).T.copy()
    after_word = _after_word()
    crcs = np.zeros(words.shape[1], np.uint32)
    for word in words:
        crcs = after_word[(crcs ^ word) & 0xFFFF] ^ crcs >> 16
    while len(crcs) > 1:
        crcs = _apply(_after_zeros(piece), crcs[0::2]) ^ crcs[1::2]
        piece += 1
    return crcs[0]


def _shift(crc, nbytes):
    """The checksum after `nbytes` zero bytes, if it was `crc` before them."""
    for power in range(nbytes.bit_length()):
        if nbytes >> power & 1:
            crc = _apply(_after_zeros(power), crc)
    return crc


@cache
def _after_zeros(power):
    """(4, 256): entry [k, b] is the CRC after 2**power zero bytes, from one with byte k equal to b and the others 0."""
    if power:
        half = _after_zeros(power - 1)
        return _apply(half, half)
    crcs = np.arange(256, dtype=np.uint32) << np.array([[0], [8], [16], [24]], np.uint32)
    for _ in range(8):
        crcs = crcs >> 1 ^ POLYNOMIAL * (crcs & 1)
    return crcs


@cache
def _after_word():
    """(65536,): entry [w] is the CRC after two zero bytes, from one whose lower half is w and whose upper half is 0."""
    return _apply(_after_zeros(1), np.arange(1 << 16, dtype=np.uint32))


def _apply(table, crcs):
    """Look up the four bytes of each CRC in a table of `_after_zeros`; the CRC of the whole is the xor of these."""
    return table[0][crcs & 255] ^ table[1][crcs >> 8 & 255] ^ table[2][crcs >> 16 & 255] ^ table[3][crcs >> 24]
