"""userdbpw(8): make the value of a password field for userdb.

The password is asked for, or read as one line of standard input; the value goes to standard output, for
`userdbpw | userdb NAME set systempw`.
"""

from __future__ import annotations

from collections.abc import Callable

from authdaemond import cramstate
from authdaemond.tools import terminal

_DES_CHARACTERS = 8


def _des(password: bytes) -> bytes:
    from passlib.hash import des_crypt

    if len(password) > _DES_CHARACTERS and terminal.interactive():
        terminal.complain(f"Only the first {_DES_CHARACTERS} characters of this password count; -md5 takes them all.")
    made: str = des_crypt.hash(password)
    return made.encode("ascii")


def _md5(password: bytes) -> bytes:
    from passlib.hash import md5_crypt

    made: str = md5_crypt.using(salt_size=8).hash(password)
    return made.encode("ascii")


def _hmac(algorithm: str) -> Callable[[bytes], bytes]:
    return lambda password: cramstate.state(algorithm, password)


_SCHEMES: dict[str, Callable[[bytes], bytes]] = {
    "-md5": _md5,
    "-hmac-md5": _hmac("md5"),
    "-hmac-sha1": _hmac("sha1"),
    "-hmac-sha256": _hmac("sha256"),
}


def main(argv: list[str]) -> int:
    """Run userdbpw."""
    if len(argv) > 2 or (len(argv) == 2 and argv[1] not in _SCHEMES):
        terminal.complain("userdbpw: invalid argument.")
        return 1
    try:
        password = terminal.new_password()
        value = _SCHEMES[argv[1]](password) if len(argv) == 2 else _des(password)
    except terminal.Unanswered as error:
        if str(error):
            terminal.complain(str(error))
        return 1
    except ValueError:  # passlib's, for a NUL octet; its own text would hold the password
        terminal.complain("userdbpw: a password cannot hold a NUL octet.")
        return 1
    terminal.write([value, b"\n"])
    return 0
