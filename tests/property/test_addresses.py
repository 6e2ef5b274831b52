"""Address lists: what is written is read, anything is survived."""

from email.utils import formataddr, getaddresses

from hypothesis import given
from hypothesis import strategies as st

from maildir.addresses import MAX_ADDRESSES, _List, parse, split, usual

ATOMS = st.text("abcXYZ019!#$%&'*+-/?^_`{|}~", min_size=1, max_size=8).filter(lambda atom: "=?" not in atom)
DOTTED = st.lists(ATOMS, min_size=1, max_size=3).map(".".join)
PHRASES = st.text("ab ,;:<>@()[].\"\\é'", max_size=12).map(lambda text: " ".join(text.split()))
LOCALS = st.one_of(DOTTED, st.text("ab ,@<>.", min_size=1, max_size=6).map(lambda text: "x" + text + "x"))
COMMENTS = st.text("ab <,;>é", max_size=6).map(str.strip)
TOKENS = st.lists(st.sampled_from([*'",;:<>@()[]\\. ', "a", "b", "=?utf-8?q?", "?=", "\n", "\0", "é"]), max_size=40)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def mailboxes(draw):
    """How a mailbox is written, and what it is."""
    name, local, host = draw(PHRASES), draw(LOCALS), draw(DOTTED)
    written = f"{local if ' ' not in local and not set(local) & set(',@<>') else quoted(local)}@{host}"
    blank = draw(st.sampled_from(["", " ", "\t", "  "]))
    form = draw(st.integers(0, 3))
    if form == 0:
        return blank + written + blank, (None, None, local, host)
    if form == 1:
        comment = draw(COMMENTS)
        return f"{written}{blank}({comment})", (comment or None, None, local, host)
    if form == 2:
        route = draw(st.lists(DOTTED, min_size=1, max_size=2).map(lambda hosts: ",".join("@" + one for one in hosts)))
        return f"{blank}{quoted(name)}{blank}<{route}:{written}>", (name or None, route, local, host)
    return f"{quoted(name)}{blank}<{blank}{written}{blank}>{blank}", (name or None, None, local, host)


@st.composite
def lists(draw):
    """How a list is written, and its entries."""
    written, expected = [], []
    for members in draw(st.lists(st.lists(mailboxes(), max_size=3), max_size=3)):
        if draw(st.booleans()):
            name = draw(PHRASES)
            written.append(quoted(name) + ": " + ",".join(text for text, _ in members) + ";")
            entries = [(None, None, name, None), *(entry for _, entry in members), (None, None, None, None)]
        else:
            written.append(", ".join(text for text, _ in members))
            entries = [entry for _, entry in members]
        expected.extend(entries)
    return ", ".join(written), expected


@given(lists())
def test_what_is_written_is_read(case):
    written, expected = case
    assert parse(written.encode()) == [
        tuple(None if text is None else text.encode() for text in entry) for entry in expected
    ]


PIECES = st.lists(
    st.sampled_from(
        [
            *(",", ",", " ", "  ", "a@b", "<a@b>", "<@r,@s:a@b>", "x", "(c)", "(c (d) \\)e)", "é", "\t", "[h]"),
            *("@", "<", ">", "(", ")", ":", ";", '"', "\\", ".", '"q"', '"q,\\" r"', '"l l"@h'),
            *("=?u?q?a,b?=", "=?u?q?a?=", "=?", "?"),
        ]
    ),
    max_size=12,
).map(lambda pieces: "".join(pieces).encode())


@given(PIECES)
def test_usual_forms_are_read_as_all_others_are(value):
    assert parse(value) == _List([]).read(value)


@given(PIECES)
def test_what_is_cut_at_its_commas_is_read_as_the_whole(value):
    people = [usual(piece) for piece in split(value)]
    if people and None not in people:
        assert parse(value) == people


@given(
    st.lists(
        st.tuples(st.text("ab é.,", max_size=10).map(lambda text: " ".join(text.split())), DOTTED, DOTTED),
        min_size=1,
        max_size=5,
    )
)
def test_lists_are_those_of_the_standard_library(people):
    written = ", ".join(formataddr((name, f"{local}@{host}"), "utf-8") for name, local, host in people)
    ours = [
        ((name or b"").decode(), f"{mailbox.decode()}@{host.decode()}")
        for name, _, mailbox, host in parse(written.encode())
    ]
    assert ours == getaddresses([written])


@given(st.one_of(st.binary(max_size=60), TOKENS.map(lambda tokens: "".join(tokens).encode())))
def test_any_octets_are_read(octets):
    depth = 0
    found = parse(octets)
    assert len(found) <= MAX_ADDRESSES
    for name, route, mailbox, host in found:
        if host is None:
            assert name is None
            assert route is None
            depth += 1 if mailbox is not None else -1
            assert depth in (0, 1)
        else:
            assert name != b""
            assert isinstance(mailbox, bytes)
            assert isinstance(host, bytes)
    assert depth == 0
