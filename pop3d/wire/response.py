"""Status lines (RFC 1939 section 3) and the codes of those that say no (RFC 2449 section 8, RFC 3206)."""

AUTH = b"AUTH"  # the credentials are wrong
TEMPORARY = b"SYS/TEMP"  # likely to work later
PERMANENT = b"SYS/PERM"  # somebody has to do something about it

END = b".\r\n"


def ok(text: bytes = b"") -> bytes:
    """`+OK text`."""
    return b"+OK %b\r\n" % text if text else b"+OK\r\n"


def error(text: bytes, code: bytes = b"") -> bytes:
    """`-ERR text`, with the code in front if there is one."""
    return b"-ERR [%b] %b\r\n" % (code, text) if code else b"-ERR %b\r\n" % text


INVALID_COMMAND = error(b"Invalid command.")
TOO_MANY_VIOLATIONS = error(b"TOO MANY CONSECUTIVE PROTOCOL VIOLATIONS")
MAX_VIOLATIONS = 10  # in a row, then the connection ends; the original counts none
