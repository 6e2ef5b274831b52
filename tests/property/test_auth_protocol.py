"""authdaemond's protocol: what is built is read back the same, however it is cut, and nothing makes it fall over."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from authdaemond import authdata, options, protocol
from authdaemond.account import Account

WORD = st.binary(min_size=1, max_size=40).filter(lambda text: not set(text) & set(b" \t\n\0="))
VALUE = st.binary(min_size=1, max_size=80).filter(lambda text: not set(text) & set(b"\n\0"))
NAME = st.binary(min_size=1, max_size=40).filter(lambda text: not protocol.has_controls(text) and text[:1] != b" ")
OPTION = st.text("abc=", min_size=1, max_size=5).map(str.encode)

REQUESTS = st.one_of(
    st.builds(protocol.Lookup, WORD, WORD, NAME),
    st.builds(protocol.Authenticate, WORD, WORD, st.binary(max_size=300)),
    st.builds(protocol.ChangePassword, NAME, NAME, NAME, NAME),
    st.builds(protocol.Enumerate),
)


def slots(thing: object) -> list[object]:
    return [getattr(thing, name) for name in type(thing).__slots__]  # type: ignore[attr-defined]


@given(REQUESTS, st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_requests_survive_any_cut(request: protocol.Request, cuts: list[int]) -> None:
    octets = protocol.metadata({b"TCPREMOTEIP": b"2001:db8::1"}) + request.encode()
    request.remote_ip = b"2001:db8::1"
    reader = protocol.RequestReader()
    found = None
    turn = 0
    while octets:
        assert found is None
        size = cuts[turn % len(cuts)]
        found = reader.feed(octets[:size])
        octets = octets[size:]
        turn += 1
    assert type(found) is type(request)
    assert slots(found) == slots(request)


@given(st.binary(max_size=400))
def test_any_octets_are_a_request_or_malformed_or_unfinished(octets: bytes) -> None:
    with contextlib.suppress(protocol.Malformed):
        protocol.RequestReader().feed(octets)


@given(st.lists(VALUE, min_size=8, max_size=8), st.integers(0, 2**32 - 2), st.none() | st.integers(0, 2**32 - 2))
def test_accounts_survive(values: list[bytes], gid: int, uid: int | None) -> None:
    account = Account(values[0], values[1], gid, uid)
    if uid is None:
        account.username = "kim"
    account.fullname, account.maildir, account.quota = values[2:5]
    account.passwd, account.passwd2, account.options = values[5:8]
    reply = protocol.encode_account(account)
    assert protocol.account_reply_complete(reply)
    assert not any(protocol.account_reply_complete(reply[:size]) for size in range(len(reply)))
    parsed = protocol.parse_account(reply)
    assert parsed is not None
    assert slots(parsed) == slots(account)


@given(st.binary(max_size=300))
def test_any_octets_are_an_account_or_malformed(octets: bytes) -> None:
    for reply in (octets, b"GID=1\n" + octets + b"\n.\n"):
        try:
            protocol.parse_account(reply)
        except protocol.Malformed:
            continue


@given(st.binary(max_size=300), st.integers(1, 30))
def test_any_octets_are_an_enumeration_and_never_root(octets: bytes, step: int) -> None:
    reader = protocol.EnumerationReader()
    for at in range(0, len(octets), step):
        for account in reader.feed(octets[at : at + step]):
            assert account.uid
            assert account.gid


@given(NAME, st.binary(max_size=60), st.sampled_from(authdata.CRAM_ALGORITHMS))
def test_cram_data_survives(userid: bytes, challenge: bytes, algorithm: str) -> None:
    data = authdata.encode_cram(challenge or b"x", userid + b" 0123456789abcdef")
    parsed = authdata.parse(b"cram-" + algorithm.encode(), data)
    assert isinstance(parsed, authdata.Cram)
    assert (parsed.userid, parsed.challenge, parsed.digest) == (userid, challenge or b"x", b"0123456789abcdef")
    assert parsed.encode() == data


@given(st.binary(max_size=10), st.binary(max_size=200))
def test_any_data_is_credentials_or_nothing(authtype: bytes, data: bytes) -> None:
    for kind in (authtype, b"login", b"cram-sha256"):
        authdata.parse(kind, data)


@given(st.lists(OPTION, max_size=5), st.lists(OPTION, max_size=5))
def test_options_of_the_account_win(own: list[bytes], defaults: list[bytes]) -> None:
    merged = options.merged(b",".join(own), b",".join(defaults)).split(b",")
    assert merged[: len(own)] == own or not own
    names = {option.partition(b"=")[0] for option in own}
    added = merged[len(own) :] if own else [option for option in merged if option]
    assert added == [option for option in defaults if option.partition(b"=")[0] not in names]
