"""The ID command's grammar (RFC 2971), which the login stage and the server share."""

from imapd.wire import response
from imapd.wire.lexer import Arguments
from imapd.wire.malformed import Malformed

MAX_FIELDS = 30  # RFC 2971 section 3.3
MAX_NAME_OCTETS = 30
MAX_VALUE_OCTETS = 1024

# The bits of IMAP_ID_FIELDS, as the original reads them.
VERSION, SYSTEM, SYSTEM_VERSION = 1, 2, 4

Fields = list[tuple[bytes, bytes | None]]


def parse(arguments: Arguments) -> Fields:
    """Parse `id_params_list ::= "(" #(string SPACE nstring) ")" / nil`.  Raises Malformed."""
    fields: Fields = []
    if arguments.peek != b"(" and arguments.maybe_nil():
        return fields
    arguments.expect_open()
    while not arguments.maybe_close():
        name, value = arguments.string(), arguments.nstring()
        if len(fields) >= MAX_FIELDS or len(name) > MAX_NAME_OCTETS or len(value or b"") > MAX_VALUE_OCTETS:
            sizes = f"names of {MAX_NAME_OCTETS} and values of {MAX_VALUE_OCTETS} octets"
            raise Malformed(f"ID takes at most {MAX_FIELDS} fields, {sizes}")
        fields.append((name, value))
    return fields


def log_text(fields: Fields) -> str:
    """`, name=value` for each field the client sent, for the log line."""
    return "".join(
        f", {name.decode('utf-8', 'backslashreplace')}={(value or b'').decode('utf-8', 'backslashreplace')}"
        for name, value in fields
    )


def render(bits: int, version: str, system: str, system_version: str) -> bytes:
    """The untagged answer: name and vendor always, the rest as the bits say."""
    fields = [(b"name", "Courier-IMAP")]
    if bits & VERSION:
        fields.append((b"version", version))
    if bits & SYSTEM:
        fields.append((b"os", system))
    if bits & SYSTEM_VERSION:
        fields.append((b"os-version", system_version))
    pairs = b" ".join(response.string(name) + b" " + response.string(value.encode()) for name, value in fields)
    return response.untagged(b"ID (%s)" % pairs)
