"""The socket protocol, octet by octet: what each end writes, what it takes, where it stops."""

import pytest

from authdaemond import authdata, protocol
from authdaemond.account import Account

AUTH = b"AUTH 40\nimap\nlogin\nkim@example.net\nopen-sesame1\n"


def read(octets: bytes, step: int = 1 << 20) -> protocol.Request | None:
    """Feed a request in pieces of that size."""
    reader = protocol.RequestReader()
    for at in range(0, len(octets), step):
        request = reader.feed(octets[at : at + step])
        if request is not None:
            return request
    return None


def test_requests_as_written() -> None:
    assert protocol.Authenticate(b"imap", b"login", b"kim@example.net\nopen-sesame1\n").encode() == AUTH
    assert protocol.Lookup(b".", b"imap", b"kim van x").encode() == b"PRE . imap kim van x\n"
    assert protocol.ChangePassword(b"imap", b"kim", b"old", b"new").encode() == b"PASSWD imap\tkim\told\tnew\n"
    assert protocol.Enumerate().encode() == b"ENUMERATE\n"
    assert protocol.metadata({b"TCPREMOTEIP": b"192.0.2.1"}) == b"TCPREMOTEIP=192.0.2.1\n"


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_auth(step: int) -> None:
    request = read(b"TCPREMOTEIP=192.0.2.1\nOTHER=x y\n" + AUTH, step)
    assert isinstance(request, protocol.Authenticate)
    assert (request.service, request.authtype) == (b"imap", b"login")
    assert request.data == b"kim@example.net\nopen-sesame1\n"
    assert request.remote_ip == b"192.0.2.1"


def test_lookup() -> None:
    request = read(b"PRE authuserdb imap kim = van x\n")
    assert isinstance(request, protocol.Lookup)
    assert (request.module, request.service, request.userid) == (b"authuserdb", b"imap", b"kim = van x")
    assert request.remote_ip == b""
    request = read(b"PRE  .   imap  kim \n")
    assert isinstance(request, protocol.Lookup)
    assert (request.module, request.service, request.userid) == (b".", b"imap", b"kim ")


def test_passwd() -> None:
    for line in (
        b"PASSWD imap\tkim\told\tnew\n",
        b"PASSWD imap\tkim\told\tnew\textra\n",
        b"PASSWD imap\tkim\told\tnew\t\n",
    ):
        request = read(line)
        assert isinstance(request, protocol.ChangePassword)
        assert (request.service, request.userid, request.old, request.new) == (b"imap", b"kim", b"old", b"new")


def test_enumerate() -> None:
    assert isinstance(read(b"ENUMERATE\n"), protocol.Enumerate)


@pytest.mark.parametrize(
    "octets",
    [
        b"HELLO\n", b"\n", b"ENUMERATE now\n", b"PRE\n", b"PRE . imap\n", b"PRE . imap \n", b"PRE  imap kim\n",
        b"PRE   \n", b"AUTH x\n", b"AUTH -1\n", b"AUTH 8192\n", b"AUTH 99999999999999\n", b"AUTH \n", b"AUTH 5\nimap\n",
        b"AUTH 10\nimap\nlogin", b"AUTH 7\n\nlogin\n", b"PASSWD imap\tkim\told\n", b"PASSWD\n", b"auth 5\n",
    ],
)  # fmt: skip
def test_malformed_requests_get_no_answer(octets: bytes) -> None:
    with pytest.raises(protocol.Malformed) as caught:
        read(octets)
    assert caught.value.reply == b""


@pytest.mark.parametrize("control", [b"\x01", b"\r", b"\x1b", b"\x7f", b"\0"])
def test_controls_in_passwd_get_fail(control: bytes) -> None:
    with pytest.raises(protocol.Malformed) as caught:
        read(b"PASSWD imap\tkim\told\tn" + control + b"w\n")
    assert caught.value.reply == b"FAIL\n"


def test_caps() -> None:
    longest = b"PRE . imap " + b"k" * (protocol.MAX_LINE_OCTETS - 12) + b"\n"
    assert len(longest) == protocol.MAX_LINE_OCTETS
    assert isinstance(read(longest, 1000), protocol.Lookup)
    with pytest.raises(protocol.Malformed):
        read(b"PRE . imap " + b"k" * protocol.MAX_LINE_OCTETS)
    with pytest.raises(protocol.Malformed):
        read(b"A=B\n" * (protocol.MAX_METADATA_LINES + 1))
    body = b"imap\nlogin\n" + b"k" * (protocol.MAX_AUTH_OCTETS - 11)
    request = read(b"AUTH 8191\n" + body, 100)
    assert isinstance(request, protocol.Authenticate)
    with pytest.raises(protocol.Malformed):
        protocol.Authenticate(b"imap", b"login", b"x" * 8192).encode()
    with pytest.raises(protocol.Malformed):
        protocol.Lookup(b".", b"imap", b"x" * 8192).encode()


@pytest.mark.parametrize("address", [b"1" * 40, b"1\x01"])
def test_impossible_remote_address_is_not_taken(address: bytes) -> None:
    request = read(b"TCPREMOTEIP=" + address + b"\nENUMERATE\n")
    assert request is not None
    assert request.remote_ip == b""


@pytest.mark.parametrize("audience", [b"", b"f" * 65, b"a b", b"a-b", b"a\x01"])
def test_impossible_audience_is_not_taken(audience: bytes) -> None:
    request = read(b"TICKET=" + audience + b"\nAUTH 13\nimap\nlogin\nx\n")
    assert isinstance(request, protocol.Authenticate)
    assert request.audience == b""


def test_an_audience_is_for_auth_only() -> None:
    request = read(b"TICKET=" + b"f" * 64 + b"\nAUTH 13\nimap\nlogin\nx\n")
    assert isinstance(request, protocol.Authenticate)
    assert request.audience == b"f" * 64
    assert not hasattr(read(b"TICKET=ff\nPRE . imap kim\n"), "audience")


def test_what_cannot_be_said_is_not_sent() -> None:
    bad: list[protocol.Request] = [
        protocol.Lookup(b".", b"imap", b"kim\nENUMERATE"),
        protocol.Lookup(b". x", b"imap", b"kim"),
        protocol.Lookup(b".", b"imap", b" kim"),
        protocol.Lookup(b".", b"imap", b""),
        protocol.Authenticate(b"im\nap", b"login", b"x"),
        protocol.ChangePassword(b"imap", b"kim", b"o\tld", b"new"),
        protocol.ChangePassword(b"imap", b"kim", b"old", b"ne\nw"),
    ]
    for request in bad:
        with pytest.raises(protocol.Malformed):
            request.encode()
    for values in ({b"TCPREMOTEIP": b"1\n2"}, {b"A B": b"x"}, {b"": b"x"}, {b"A=B": b"x"}):
        with pytest.raises(protocol.Malformed):
            protocol.metadata(values)


def full_account() -> Account:
    account = Account(b"kim@example.net", b"/srv/mail/kim", 1006, uid=1005)
    account.fullname, account.maildir, account.quota = b"Kim", b"Maildir", b"100S"
    account.passwd, account.passwd2, account.options = b"{SHA}x", b"sesame", b"disablepop3=1"
    return account


def test_account_reply() -> None:
    assert protocol.encode_account(full_account()) == (
        b"UID=1005\nGID=1006\nHOME=/srv/mail/kim\nADDRESS=kim@example.net\nNAME=Kim\nMAILDIR=Maildir\nQUOTA=100S\n"
        b"PASSWD={SHA}x\nPASSWD2=sesame\nOPTIONS=disablepop3=1\n.\n"
    )
    signed = full_account()
    signed.ticket = b"\0signed"
    assert protocol.encode_account(signed).endswith(b"OPTIONS=disablepop3=1\nTICKET=AHNpZ25lZA==\n.\n")
    parsed = protocol.parse_account(protocol.encode_account(signed))
    assert parsed is not None
    assert parsed.ticket == b"\0signed"
    system = Account(b"kim", b"/home/kim", 100, username="kim")
    assert protocol.encode_account(system) == b"USERNAME=kim\nGID=100\nHOME=/home/kim\nADDRESS=kim\n.\n"


@pytest.mark.parametrize("field", ["address", "home", "fullname", "maildir", "quota", "passwd", "passwd2", "options"])
@pytest.mark.parametrize("value", [b"x\nUID=0", b"x\0"])
def test_no_value_can_add_a_line(field: str, value: bytes) -> None:
    account = full_account()
    setattr(account, field, value)
    with pytest.raises(protocol.Malformed):
        protocol.encode_account(account)


def test_parse_account() -> None:
    parsed = protocol.parse_account(protocol.encode_account(full_account()))
    assert parsed is not None
    assert all(getattr(parsed, field) == getattr(full_account(), field) for field in Account.__slots__)
    parsed = protocol.parse_account(b"junk\nFUTURE=x\nGID=5\rUID=0\n.\n".replace(b"5\rUID=0", b"5"))
    assert parsed is not None
    assert (parsed.uid, parsed.username, parsed.home, parsed.address) == (None, None, b"", b"")
    assert protocol.parse_account(b"FAIL\n") is None


def test_a_carriage_return_is_no_line_end() -> None:
    parsed = protocol.parse_account(b"GID=5\nHOME=/x\rUID=0\n.\n")
    assert parsed is not None
    assert parsed.uid is None


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b".\n",
        b"FAIL",
        b"OK\n",
        b"GID=5\n",
        b"HOME=/x\n.\n",
        b"GID=x\n.\n",
        b"GID=-1\n.\n",
        b"GID=5\nUID=99999999999\n.\n",
    ],
)
def test_bad_account_replies(reply: bytes) -> None:
    with pytest.raises(protocol.Malformed):
        protocol.parse_account(reply)


def test_secrets_stay_out_of_repr() -> None:
    text = repr(full_account())
    assert "sesame" not in text
    assert "{SHA}" not in text


def test_enumeration() -> None:
    reader = protocol.EnumerationReader()
    octets = (
        b"# authuserdb\n\nkim\t1005\t1006\t/srv/kim\tMaildir\tdisableshared=1\nroot\t0\t0\t/root\t\t\n"
        b"grp\t5\t0\t/x\t\t\nold\t7\t7\t/old\n# authpwd\n\n"
        b"bad\tx\t7\t/old\nshort\t1\t2\nlee\t8\t8\t/lee # hidden\t\t\n.\nlate\t9\t9\t/x\t\t\n"
    )
    found = [account for octet in octets for account in reader.feed(bytes([octet]))]
    assert reader.complete
    assert [(a.userid, a.uid, a.gid, a.home, a.maildir, a.options) for a in found] == [
        (b"kim", 1005, 1006, b"/srv/kim", b"Maildir", b"disableshared=1"),
        (b"old", 7, 7, b"/old", b"", b""),
        (b"lee", 8, 8, b"/lee ", b"", b""),
    ]
    assert found[0].encode() == b"kim\t1005\t1006\t/srv/kim\tMaildir\tdisableshared=1\n"
    assert protocol.encode_enumeration_heading("authpwd") == b"# authpwd\n\n"


def test_enumeration_without_line_ends() -> None:
    with pytest.raises(protocol.Malformed):
        list(protocol.EnumerationReader().feed(b"x" * (protocol.MAX_ENUMERATED_LINE_OCTETS + 1)))
    with pytest.raises(protocol.Malformed):
        protocol.Enumerated(b"k\tim", 1, 1, b"/", b"", b"").encode()


def test_login_data() -> None:
    for data in (b"kim\nsecret\n", b"kim\nsecret", b"\nkim\n\nsecret\n"):
        login = authdata.parse(b"login", data)
        assert isinstance(login, authdata.Login)
        assert (login.userid, login.password) == (b"kim", b"secret")
    with pytest.raises(ValueError, match="line feed"):
        authdata.encode_login(b"kim\nroot", b"x")


@pytest.mark.parametrize(
    ("authtype", "data"),
    [
        (b"login", b"kim\n\n"),
        (b"login", b""),
        (b"LOGIN", b"kim\nx\n"),
        (b"cram-md4", b"YQ==\nYSBi\n"),
        (b"cram-md5", b"YQ==\n"),
        (b"cram-md5", b"YQ==\nYWI=\n"),
        (b"cram-md5", b"YQ==\nIGI=\n"),
        (b"cram-md5", b"A\nYSBi\n"),
        (b"\xff", b"a\nb\n"),
    ],
)
def test_incomplete_data(authtype: bytes, data: bytes) -> None:
    assert authdata.parse(authtype, data) is None
