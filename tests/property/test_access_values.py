from hypothesis import given
from hypothesis import strategies as st

from couriertcpd import access

NAMES = st.text(alphabet="ABCDEFXYZ_123", min_size=1).map(str.encode)
VALUES = st.binary().map(lambda value: value.replace(b"\0", b"").rstrip())


def quoted(value: bytes) -> bytes:
    """Protect everything: each kind of quote by the other one."""
    return b"".join(b"'\"'" if octet == 34 else b'"' + bytes([octet]) + b'"' for octet in value)


@given(st.lists(st.tuples(NAMES, VALUES), min_size=1))
def test_what_is_quoted_comes_back(variables: list[tuple[bytes, bytes]]) -> None:
    value = b"allow," + b" , ".join(name + b"=" + quoted(text) for name, text in variables)
    assert access.parse(value) == access.Record(True, tuple(variables))


@given(st.binary())
def test_any_value_is_read(value: bytes) -> None:
    record = access.parse(value)
    assert record.allowed != value.startswith(b"deny")
    for name, text in record.variables:
        assert name
        assert b"=" not in name
        assert b"\0" not in name + text
