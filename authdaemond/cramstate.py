"""HMAC from stored intermediate states, as userdb's hmac-md5pw, hmac-sha1pw and hmac-sha256pw fields hold them.

The stored value is the hex of the hash state after one block of key XOR 0x5c, followed by the state after one block of
key XOR 0x36, both without padding.  hashlib can neither export nor resume such a state, so the three compression
functions are written out here (RFC 1321, FIPS 180-4).
"""

import binascii
import hashlib
import hmac
import math
import struct
from collections.abc import Callable

_MASK = 0xFFFFFFFF
_BLOCK = 64
_Words = tuple[int, ...]

_MD5_K = [int(abs(math.sin(step + 1)) * 2**32) & _MASK for step in range(64)]
_MD5_SHIFTS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
_MD5_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_SHA1_START = (*_MD5_START, 0xC3D2E1F0)
_PRIMES = [number for number in range(2, 312) if all(number % other for other in range(2, number))]


def _root_fraction(prime: int, root: int) -> int:
    """The first 32 bits of the fractional part of a prime's square or cube root (FIPS 180-4 §4.2.2, §5.3.3)."""
    scaled = prime << (32 * root)
    low, high = 0, 1 << 40
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**root <= scaled else (low, middle)
    return low & _MASK


_SHA256_K = [_root_fraction(prime, 3) for prime in _PRIMES]
_SHA256_START = tuple(_root_fraction(prime, 2) for prime in _PRIMES[:8])


def _left(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (32 - bits))) & _MASK


def _right(word: int, bits: int) -> int:
    return ((word >> bits) | (word << (32 - bits))) & _MASK


def _plus(first: _Words, second: _Words) -> _Words:
    return tuple((one + other) & _MASK for one, other in zip(first, second, strict=True))


def _md5(state: _Words, block: bytes) -> _Words:
    words = struct.unpack("<16I", block)
    a, b, c, d = state
    for step in range(64):
        turn = step // 16
        if turn == 0:
            mixed, which = (b & c) | (~b & d), step
        elif turn == 1:
            mixed, which = (d & b) | (~d & c), (5 * step + 1) % 16
        elif turn == 2:
            mixed, which = b ^ c ^ d, (3 * step + 5) % 16
        else:
            mixed, which = c ^ (b | (~d & _MASK)), (7 * step) % 16
        total = (a + (mixed & _MASK) + _MD5_K[step] + words[which]) & _MASK
        a, b, c, d = d, (b + _left(total, _MD5_SHIFTS[turn][step % 4])) & _MASK, b, c
    return _plus(state, (a, b, c, d))


def _sha1(state: _Words, block: bytes) -> _Words:
    words = list(struct.unpack(">16I", block))
    for step in range(16, 80):
        words.append(_left(words[step - 3] ^ words[step - 8] ^ words[step - 14] ^ words[step - 16], 1))
    a, b, c, d, e = state
    for step in range(80):
        if step < 20:
            mixed, constant = (b & c) | (~b & d), 0x5A827999
        elif step < 40:
            mixed, constant = b ^ c ^ d, 0x6ED9EBA1
        elif step < 60:
            mixed, constant = (b & c) | (b & d) | (c & d), 0x8F1BBCDC
        else:
            mixed, constant = b ^ c ^ d, 0xCA62C1D6
        a, b, c, d, e = (_left(a, 5) + (mixed & _MASK) + e + constant + words[step]) & _MASK, a, _left(b, 30), c, d
    return _plus(state, (a, b, c, d, e))


def _sha256(state: _Words, block: bytes) -> _Words:
    words = list(struct.unpack(">16I", block))
    for step in range(16, 64):
        early, late = words[step - 15], words[step - 2]
        low = _right(early, 7) ^ _right(early, 18) ^ (early >> 3)
        high = _right(late, 17) ^ _right(late, 19) ^ (late >> 10)
        words.append((words[step - 16] + low + words[step - 7] + high) & _MASK)
    a, b, c, d, e, f, g, h = state
    for step in range(64):
        chosen = (e & f) ^ (~e & _MASK & g)
        first = h + (_right(e, 6) ^ _right(e, 11) ^ _right(e, 25)) + chosen + _SHA256_K[step] + words[step]
        second = (_right(a, 2) ^ _right(a, 13) ^ _right(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))
        a, b, c, d, e, f, g, h = (first + second) & _MASK, a, b, c, (d + first) & _MASK, e, f, g
    return _plus(state, (a, b, c, d, e, f, g, h))


class _Hash:
    """One hash function, taken apart."""

    __slots__ = ("compress", "count", "order", "start")

    def __init__(self, start: _Words, order: str, compress: Callable[[_Words, bytes], _Words]) -> None:
        self.start, self.order, self.compress = start, order, compress
        self.count = f"{order}Q"

    def encode(self, state: _Words) -> bytes:
        return struct.pack(f"{self.order}{len(state)}I", *state)

    def decode(self, octets: bytes) -> _Words:
        return struct.unpack(f"{self.order}{len(self.start)}I", octets)

    def resume(self, state: _Words, text: bytes) -> bytes:
        """Finish a hash that has seen one block, with text as the rest."""
        padded = text + b"\x80" + bytes((-len(text) - 9) % _BLOCK)
        padded += struct.pack(self.count, 8 * (_BLOCK + len(text)))
        for at in range(0, len(padded), _BLOCK):
            state = self.compress(state, padded[at : at + _BLOCK])
        return self.encode(state)


_HASHES = {
    "md5": _Hash(_MD5_START, "<", _md5),
    "sha1": _Hash(_SHA1_START, ">", _sha1),
    "sha256": _Hash(_SHA256_START, ">", _sha256),
}

ALGORITHMS = tuple(_HASHES)


def state(algorithm: str, password: bytes) -> bytes:
    """The lower-case hex that userdb stores for a password; algorithm is one of ALGORITHMS."""
    function = _HASHES[algorithm]
    key = hashlib.new(algorithm, password).digest() if len(password) > _BLOCK else password
    key = key.ljust(_BLOCK, b"\0")
    outer = function.compress(function.start, bytes(octet ^ 0x5C for octet in key))
    inner = function.compress(function.start, bytes(octet ^ 0x36 for octet in key))
    return binascii.hexlify(function.encode(outer) + function.encode(inner))


def check(algorithm: str, stored: bytes, challenge: bytes, digest: bytes) -> bool:
    """True when digest (hex, either case) answers the challenge for a stored state; a malformed state never matches."""
    function = _HASHES[algorithm]
    try:
        octets = binascii.unhexlify(stored)
    except ValueError:
        return False
    size = 4 * len(function.start)
    if len(octets) != 2 * size:
        return False
    inner = function.resume(function.decode(octets[size:]), challenge)
    expected = binascii.hexlify(function.resume(function.decode(octets[:size]), inner))
    return hmac.compare_digest(expected, digest.lower())


def check_clear(algorithm: str, password: bytes, challenge: bytes, digest: bytes) -> bool:
    """The same for a back end that knows the password itself."""
    expected = hmac.new(password, challenge, algorithm).hexdigest().encode("ascii")
    return hmac.compare_digest(expected, digest.lower())
