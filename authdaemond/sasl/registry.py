"""The mechanisms there are.  A new one is a file of its own, named here."""

from authdaemond.sasl import cram, login, plain
from authdaemond.sasl.mechanism import Mechanism

_MECHANISMS = {mechanism.name: mechanism for module in (plain, login, cram) for mechanism in module.MECHANISMS}


def find(name: bytes) -> Mechanism | None:
    """The mechanism of that name, in capitals or not."""
    return _MECHANISMS.get(name.upper())


def names() -> tuple[bytes, ...]:
    """All names, as a capability list would show them."""
    return tuple(_MECHANISMS)
