"""The C library's crypt(3), which knows the hashes of /etc/shadow (yescrypt among them) that passlib lacks.

The standard library's binding is gone from Python 3.13, so this is one of our own.  It needs libcrypt with crypt_r();
new salts need libxcrypt's crypt_gensalt_rn().
"""

import ctypes
import functools
import os

# glibc's struct crypt_data was 131232 bytes, libxcrypt's is 32768.
_DATA_OCTETS = 1 << 18
_SALT_OCTETS = 256
_LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2", None)


class Unavailable(Exception):
    """The C library of this system cannot do it."""


@functools.cache
def _library(function: str) -> ctypes.CDLL:
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name, use_errno=True)
        except OSError:
            continue
        if hasattr(library, function):
            getattr(library, function).restype = ctypes.c_char_p
            return library
    raise Unavailable(f"no C library with {function}()")


def crypt(password: bytes, setting: bytes) -> bytes | None:
    """The hash that the C library makes of password, or None when it refuses the setting or the password.

    A password with a NUL octet is refused: C would hash only what stands before it.  Raises Unavailable.
    """
    if b"\0" in password or b"\0" in setting:
        return None
    function = _library("crypt_r").crypt_r
    data = ctypes.create_string_buffer(_DATA_OCTETS)
    answer: bytes | None = function(ctypes.c_char_p(password), ctypes.c_char_p(setting), data)
    ctypes.memset(data, 0, _DATA_OCTETS)
    return None if answer is None or answer.startswith(b"*") else answer


def new_setting(prefix: bytes) -> bytes | None:
    """A fresh salt of the scheme that prefix names (`$6$`, `$y$`, `$2b$`), at the library's own cost; None if unknown.

    Raises Unavailable.
    """
    function = _library("crypt_gensalt_rn").crypt_gensalt_rn
    salt = ctypes.create_string_buffer(_SALT_OCTETS)
    noise = os.urandom(32)
    count = ctypes.c_ulong(0)
    answer: bytes | None = function(ctypes.c_char_p(prefix), count, ctypes.c_char_p(noise), 32, salt, _SALT_OCTETS)
    return None if answer is None or answer.startswith(b"*") else answer
