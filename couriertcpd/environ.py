"""The environment, which is the contract between the stages of the chain.

Configuration and what is known about the connection travel from stage to stage in environment variables, as in the
original.  This is the only module that touches os.environ; the names it is asked for are documented in the
sysconfig/*.dist files or the man pages, which a test holds.
"""

import os


def is_set(name: str) -> bool:
    """True when the variable exists, even when it is empty."""
    return name in os.environ  # noqa: TID251


def text(name: str, default: str = "") -> str:
    """The value as str (undecodable octets as surrogates), or default when unset."""
    return os.environ.get(name, default)  # noqa: TID251


def octets(name: str, default: bytes = b"") -> bytes:
    """The value as the bytes it is, or default when unset."""
    return os.environb.get(name.encode("ascii"), default)  # noqa: TID251


def number(name: str, default: int = 0) -> int:
    """The value as the original reads numbers: C's atoi(), so text without leading digits is 0; default when unset."""
    value = os.environ.get(name)  # noqa: TID251
    return default if value is None else atoi(value)


def enabled(name: str, default: bool = False) -> bool:
    """The original's boolean: atoi() is not 0."""
    return number(name, int(default)) != 0


def yes(name: str) -> bool:
    """The original's YES/NO settings: the first letter is y or Y."""
    return text(name)[:1] in ("y", "Y")


def put(name: str, value: str | bytes) -> None:
    """Set a variable for this process and every later stage."""
    os.environb[name.encode("ascii")] = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value  # noqa: TID251


def drop(name: str) -> None:
    """Remove a variable, if it is there."""
    os.environ.pop(name, None)  # noqa: TID251


def everything() -> dict[bytes, bytes]:
    """A copy of the whole environment, for a child that gets one of its own."""
    # The mapping itself, where it is as it always was: going through every variable's decoding is slow.
    return dict(getattr(os.environb, "_data", os.environb))  # noqa: TID251


def change(known: dict[bytes, bytes], wanted: dict[bytes, bytes]) -> None:
    """Make the environment `wanted`; it is known to be `known`, so that only the differences cost anything."""
    for name in known.keys() - wanted.keys():
        del os.environb[name]  # noqa: TID251
    for name, value in wanted.items():
        if known.get(name) != value:
            os.environb[name] = value  # noqa: TID251


def atoi(value: str) -> int:
    """Read a number as C's atoi does: blanks, sign, digits; what follows is ignored; 0 when there is no digit."""
    value = value.strip(" \t\n\r\v\f")
    end = 1 if value[:1] in ("+", "-") else 0
    while end < len(value) and value[end] in "0123456789":
        end += 1
    return int(value[:end]) if end and value[end - 1] in "0123456789" else 0
