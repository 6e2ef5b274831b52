"""HMAC states: the vectors of the C programs, and agreement with the standard library's HMAC."""

import hmac

import pytest

from authdaemond import cramstate

# What the original's userdbpw prints for the password `secret`.
STORED = {
    "md5": b"cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56",
    "sha1": b"091e0f4c6cb5277ee2beb639a60d0831b5c8adcdaee172433df3e96ba4f00fb1b6a490c3929d2034",
    "sha256": b"5a84072aab37d22275b139adf7a92564c7f674be98e77d991f6f689d29e0524572804f31b042016804d3dea2f4e991a"
    b"21b1c8906be161594b202fb74afc8ceb3",
}


@pytest.mark.parametrize("algorithm", cramstate.ALGORITHMS)
def test_state_is_the_originals(algorithm: str) -> None:
    assert cramstate.state(algorithm, b"secret") == STORED[algorithm]


@pytest.mark.parametrize("algorithm", cramstate.ALGORITHMS)
@pytest.mark.parametrize("password", [b"", b"x", b"k" * 63, b"k" * 64, b"k" * 65, b"k" * 500])
@pytest.mark.parametrize("length", [0, 1, 54, 55, 56, 63, 64, 65, 119, 120, 300])
def test_resumed_state_agrees_with_hmac(algorithm: str, password: bytes, length: int) -> None:
    challenge = (bytes(range(256)) * 2)[:length]
    digest = hmac.new(password, challenge, algorithm).hexdigest().encode()
    stored = cramstate.state(algorithm, password)
    assert cramstate.check(algorithm, stored, challenge, digest)
    assert cramstate.check(algorithm, stored.upper(), challenge, digest.upper())
    assert not cramstate.check(algorithm, stored, challenge + b"x", digest)
    assert cramstate.check_clear(algorithm, password, challenge, digest.upper())
    assert not cramstate.check_clear(algorithm, password + b"x", challenge, digest)


@pytest.mark.parametrize("stored", [b"", b"zz", b"cd3b", STORED["sha1"], STORED["md5"] + b"00", b"\xff" * 64])
def test_malformed_state_never_matches(stored: bytes) -> None:
    digest = hmac.new(b"secret", b"c", "md5").hexdigest().encode()
    assert not cramstate.check("md5", stored, b"c", digest)


@pytest.mark.parametrize("digest", [b"", b"0", b"\xff\xfe", b"0" * 32, b"0" * 10000])
def test_malformed_digest_never_matches(digest: bytes) -> None:
    assert not cramstate.check("md5", STORED["md5"], b"c", digest)
