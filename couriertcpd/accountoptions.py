"""The account's options: `name=value,name` in OPTIONS, which the login stage took from the account record."""

from couriertcpd import environ


def enabled(name: str) -> bool:
    """True when the option is there and on.

    On is, as in the original, a number that is not 0, a first letter t or y, or no value at all.  The first
    occurrence of a name decides.
    """
    for option in environ.text("OPTIONS").split(","):
        key, _, value = option.partition("=")
        if key == name:
            return not value or value[0] in "tTyY" or environ.atoi(value) != 0
    return False
