"""The mechanisms as exchanges: what they ask, what they take, what they refuse."""

import hmac

import pytest

from authdaemond import authdata
from authdaemond.sasl import registry
from authdaemond.sasl.mechanism import Credentials, Malformed


def run(name: bytes, initial: bytes | None, *responses: bytes) -> tuple[list[bytes], Credentials]:
    """Drive an exchange to its end."""
    mechanism = registry.find(name)
    assert mechanism is not None
    exchange = mechanism.exchange(initial)
    challenges: list[bytes] = []
    answers = iter(responses)
    try:
        challenges.append(next(exchange))
        while True:
            challenges.append(exchange.send(next(answers)))
    except StopIteration as end:
        return challenges, end.value


def test_names() -> None:
    assert registry.names() == (b"PLAIN", b"LOGIN", b"CRAM-MD5", b"CRAM-SHA1", b"CRAM-SHA256")
    assert registry.find(b"cram-md5") is registry.find(b"CRAM-MD5")
    assert registry.find(b"EXTERNAL") is None


@pytest.mark.parametrize("authorization", [b"", b"somebody-else"])
def test_plain(authorization: bytes) -> None:
    response = authorization + b"\0kim\0pass word"
    assert run(b"PLAIN", response)[0] == []
    for initial in (None, b""):
        challenges, credentials = run(b"PLAIN", initial, response)
        assert challenges == [b""]
        assert (credentials.authtype, credentials.data) == (b"login", b"kim\npass word\n")
        assert credentials.userid == b"kim"


def test_login() -> None:
    assert run(b"LOGIN", None, b"kim", b"pw")[0] == [b"Username:", b"Password:"]
    challenges, credentials = run(b"LOGIN", b"kim", b"pw")
    assert challenges == [b"Password:"]
    assert (credentials.authtype, credentials.data) == (b"login", b"kim\npw\n")


@pytest.mark.parametrize("algorithm", authdata.CRAM_ALGORITHMS)
def test_cram(algorithm: str) -> None:
    mechanism = registry.find(b"CRAM-" + algorithm.upper().encode())
    assert mechanism is not None
    exchange = mechanism.exchange(None)
    challenge = next(exchange)
    assert challenge.startswith(b"<")
    assert challenge.endswith(b">")
    assert b"@" in challenge
    digest = hmac.new(b"secret", challenge, algorithm).hexdigest().encode()
    with pytest.raises(StopIteration) as end:
        exchange.send(b"kim van x " + digest)
    credentials = end.value.value
    parsed = authdata.parse(credentials.authtype, credentials.data)
    assert isinstance(parsed, authdata.Cram)
    assert (parsed.algorithm, parsed.userid) == (algorithm, b"kim van x")
    assert (parsed.challenge, parsed.digest) == (challenge, digest)


def test_cram_challenges_differ() -> None:
    mechanism = registry.find(b"CRAM-MD5")
    assert mechanism is not None
    assert len({next(mechanism.exchange(None)) for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("name", "initial", "responses"),
    [
        (b"PLAIN", b"kim", ()),
        (b"PLAIN", b"kim\0pw", ()),
        (b"PLAIN", b"a\0kim\0pw\0more", ()),
        (b"PLAIN", b"\0\0pw", ()),
        (b"PLAIN", b"\0kim\nroot\0pw", ()),
        (b"PLAIN", b"\0kim\0pw\nx", ()),
        (b"PLAIN", None, (b"",)),
        (b"LOGIN", None, (b"", b"pw")),
        (b"LOGIN", None, (b"kim", b"p\nw")),
        (b"CRAM-MD5", b"early", ()),
        (b"CRAM-MD5", None, (b"nodigest",)),
        (b"CRAM-MD5", None, (b" abc",)),
        (b"CRAM-MD5", None, (b"kim ",)),
        (b"CRAM-MD5", None, (b"k\nim abc",)),
    ],
)
def test_malformed(name: bytes, initial: bytes | None, responses: tuple[bytes, ...]) -> None:
    with pytest.raises(Malformed) as caught:
        run(name, initial, *responses)
    assert "pw" not in str(caught.value)


def test_credentials_do_not_show_the_password() -> None:
    assert "sesame" not in repr(run(b"PLAIN", b"\0kim\0sesame")[1])


def test_empty_password_reaches_nobody() -> None:
    credentials = run(b"PLAIN", b"\0kim\0")[1]
    assert authdata.parse(credentials.authtype, credentials.data) is None
