"""Notes on the slot's pipe: what is written is read again, and nothing that can be written does harm."""

import os

from hypothesis import given
from hypothesis import strategies as st

from couriertcpd import log, slotnote

VALUES = st.text(max_size=400)


@given(st.integers(0, 2**31), VALUES, VALUES, st.booleans(), VALUES.filter(bool))
def test_a_line_is_read_again(pid: int, user: str, protocol: str, tls: bool, state: str) -> None:
    line = slotnote.line(pid=str(pid), user=user, protocol=protocol, tls=str(int(tls)), state=state)
    assert len(line) <= slotnote.MAX_LINE
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    fields = slotnote.parse(line[:-1])
    if sum(len(log.printable(value).encode("utf-8", "replace")) for value in (user, protocol, state)) < 400:
        assert fields is not None
        assert fields["pid"] == str(pid)
        assert log.printable(user).encode("utf-8", "replace").startswith(fields["user"].encode())


@given(st.binary(max_size=70_000) | st.lists(st.binary(max_size=80)).map(b"\n".join))
def test_any_octets_can_lie_in_the_pipe(octets: bytes) -> None:
    read_end, write_end = os.pipe2(os.O_NONBLOCK)
    try:
        if octets:
            os.write(write_end, octets)
        told = slotnote.Told()
        told.look(read_end)
        for value in told.fields.values():
            assert log.printable(value) == value
        assert not told.fields or {"pid", "tls", "state"} <= set(told.fields)
    finally:
        os.close(read_end)
        os.close(write_end)
