"""Stored passwords: checking them, and making new ones.

The schemes are the original's: `$1$`, `{MD5}`, `{MD5RAW}`, `{SHA}`, `{SSHA}`, `{SHA256}`, `{SHA512}`, and `{CRYPT}` or
no prefix for whatever crypt(3) knows.  Hashing goes through passlib; crypt(3) itself checks everything of its kind,
because it knows more schemes and is faster, and passlib stands in where a system has none.
"""

import base64
import hashlib
import hmac
import re
from typing import Any

from authdaemond import crypt3

_PREFIX = re.compile(rb"\{([A-Za-z0-9]+)\}")
_CRYPT_SCHEME = re.compile(rb"\$[0-9a-z]+\$")
_BCRYPT_OCTETS = 72  # bcrypt reads no further; said here because not every implementation agrees on how to
_SSHA_SALT_OCTETS = 4  # the original takes the last 4 octets for the salt, so no other length may be written
_MD5_CRYPT_SALT_CHARACTERS = 8
_SHA_CRYPT_ROUNDS = 5000  # crypt(3)'s own default; passlib's costs a third of a second a login

# What a check for an unknown user is made against: the kind of the last real hash, so that both take as long.
_typical = b"$1$1wmxyz$0000000000000000000000"


def verify(password: bytes, stored: bytes) -> bool:
    """True when password matches the stored hash; a malformed or unknown hash matches nothing."""
    global _typical
    if not stored or b"\0" in password:
        return False
    try:
        matches = _verify(password, stored)
    except (ValueError, TypeError, crypt3.Unavailable):  # how passlib and base64 say that a hash is malformed
        return False
    if matches:
        _typical = stored
    return matches


def pretend(password: bytes) -> None:
    """Take the time of a check, for a user who does not exist: the answer's delay must not tell."""
    verify(password, _typical)


def encrypt(password: bytes, scheme_or_hint: bytes = b"") -> bytes:
    """A new hash: of the scheme named (`SHA256`, `{SHA256}`, `$1$`), or of the scheme of an old hash given as the hint.

    As in the original an unknown scheme gives `{SSHA}`; beyond it, a crypt(3) hash (`$6$`, `$y$`) keeps its scheme.
    Raises ValueError for a password that cannot be hashed (NUL octets, too long).
    """
    if b"\0" in password:
        raise ValueError("a password cannot hold a NUL octet")
    prefix = _PREFIX.match(scheme_or_hint)
    name = (prefix[1] if prefix else scheme_or_hint).upper()
    hint = scheme_or_hint[prefix.end() :] if prefix else scheme_or_hint
    if name in _DIGESTS:
        return b"{%s}%s" % (name, _digest(name, password))
    if name in _PASSLIB:
        made: str = _passlib(_PASSLIB[name]).hash(password)
        return b"{MD5RAW}" + made.encode("ascii") if name == b"MD5RAW" else made.encode("ascii")
    scheme = _CRYPT_SCHEME.match(hint)
    if scheme and scheme[0] == b"$1$":
        made = _passlib("md5_crypt").using(salt_size=_MD5_CRYPT_SALT_CHARACTERS).hash(password)
        return made.encode("ascii")
    if scheme:
        return (prefix[0] if prefix else b"") + _encrypt_crypt(password, scheme[0])
    return _salted_sha1(password)


_PASSLIB = {b"MD5": "ldap_md5", b"MD5RAW": "hex_md5", b"SHA": "ldap_sha1"}
_DIGESTS = {b"SHA256": "sha256", b"SHA512": "sha512"}


def _passlib(name: str) -> Any:
    from passlib import hash as handlers

    return getattr(handlers, name)


def _digest(name: bytes, password: bytes) -> bytes:
    return base64.b64encode(hashlib.new(_DIGESTS[name], password).digest())


def _salted_sha1(password: bytes) -> bytes:
    made: str = _passlib("ldap_salted_sha1").using(salt_size=_SSHA_SALT_OCTETS).hash(password)
    return made.encode("ascii")


def _verify(password: bytes, stored: bytes) -> bool:
    prefix = _PREFIX.match(stored)
    name = prefix[1].upper() if prefix else b""
    value = stored[prefix.end() :] if prefix else stored
    if name == b"SSHA":
        octets = base64.b64decode(value, validate=True)
        made = hashlib.sha1(password + octets[20:], usedforsecurity=False).digest()
        return len(octets) > 20 and hmac.compare_digest(made, octets[:20])
    if name in _DIGESTS:
        return hmac.compare_digest(_digest(name, password), value)
    if name in _PASSLIB:
        known = value if name == b"MD5RAW" else b"{%s}%s" % (name, value)
        return bool(_passlib(_PASSLIB[name]).verify(password, known))
    return _verify_crypt(password, value if name == b"CRYPT" else stored)


def _verify_crypt(password: bytes, stored: bytes) -> bool:
    if stored.startswith(b"$2"):
        password = password[:_BCRYPT_OCTETS]
    try:
        made = crypt3.crypt(password, stored)
    except crypt3.Unavailable:
        from passlib.context import CryptContext

        context = CryptContext(schemes=["md5_crypt", "sha512_crypt", "sha256_crypt", "des_crypt"])
        return bool(context.verify(password, stored))
    return made is not None and hmac.compare_digest(made, stored)


def _encrypt_crypt(password: bytes, scheme: bytes) -> bytes:
    if scheme.startswith(b"$2"):
        password = password[:_BCRYPT_OCTETS]
    try:
        setting = crypt3.new_setting(scheme)
        made = None if setting is None else crypt3.crypt(password, setting)
    except crypt3.Unavailable:
        made = None
    if made is None:  # no such scheme here: the strongest that every system reads
        strong: str = _passlib("sha512_crypt").using(rounds=_SHA_CRYPT_ROUNDS).hash(password)
        made = strong.encode("ascii")
    return made
