"""The DNS lists against a name server of our own on loopback."""

import socket
import threading
from collections.abc import Iterator

import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from couriertcpd import addresses
from couriertcpd import dns as ours
from couriertcpd.dns import DnsList

RECORDS = {
    ("2.0.0.10.bad.example.", "A"): ["127.0.0.2"],
    ("2.0.0.10.bad.example.", "TXT"): ['"listed: see" " our page"'],
    ("2.0.0.10.good.example.", "A"): ["127.0.0.9"],
    ("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bad.example.", "A"): ["127.0.0.3", "127.0.0.2"],
}


def serve(server: socket.socket, asked: list[str]) -> None:
    while True:
        packet, peer = server.recvfrom(4096)
        if packet == b"end":
            return
        query = dns.message.from_wire(packet)
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        asked.append(f"{question.name} {kind}")
        reply = dns.message.make_response(query)
        found = RECORDS.get((question.name.to_text(), kind))
        if found:
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *found))
        else:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        server.sendto(reply.to_wire(), peer)


@pytest.fixture
def asked() -> Iterator[tuple[dns.resolver.Resolver, list[str]]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        questions: list[str] = []
        thread = threading.Thread(target=serve, args=(server, questions))
        thread.start()
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.getsockname()[1]
        try:
            yield resolver, questions
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
                end.sendto(b"end", server.getsockname())
            thread.join()


Asked = tuple[dns.resolver.Resolver, list[str]]


def consult(asked: Asked, client: str, *lists: DnsList, before: dict[bytes, bytes] | None = None) -> dict[bytes, bytes]:
    variables = dict(before or {})
    ours.consult(lists, addresses.packed(client), variables, asked[0])
    return variables


def test_a_listed_client(asked: Asked) -> None:
    found = consult(asked, "10.0.0.2", DnsList(False, "bad.example", "Bad"))
    assert found == {b"BLOCK": b"Blacklisted by Bad", b"BLOCK_ZONE": b"Bad", b"BLOCK_IP": b"127.0.0.2"}


def test_an_unlisted_client(asked: Asked) -> None:
    assert consult(asked, "10.0.0.3", DnsList(False, "bad.example", "Bad")) == {}
    assert asked[1] == ["3.0.0.10.bad.example. A"]


def test_the_message_names_the_client_once(asked: Asked) -> None:
    found = consult(asked, "10.0.0.2", DnsList(False, "bad.example", "Bad", "X", None, "no @, @"))
    assert found[b"X"] == b"no 10.0.0.2, @"


def test_the_text_is_asked_for_only_with_an_asterisk(asked: Asked) -> None:
    found = consult(asked, "10.0.0.2", DnsList(False, "bad.example", "Bad", message="*"))
    assert found[b"BLOCK"] == found[b"BLOCK_TXT"] == b"listed: see our page"
    assert asked[1] == ["2.0.0.10.bad.example. A", "2.0.0.10.bad.example. TXT"]


def test_only_the_wanted_answer_is_a_hit(asked: Asked) -> None:
    wanted = DnsList(False, "bad.example", "Bad", "BLOCK", addresses.packed("127.0.0.2"))
    assert consult(asked, "2001:db8::1", wanted)[b"BLOCK_IP"] == b"127.0.0.2"
    other = DnsList(False, "bad.example", "Bad", "BLOCK", addresses.packed("127.0.0.4"))
    assert consult(asked, "10.0.0.2", other) == {}


def test_an_allowing_list_protects_from_the_blocking_ones_behind(asked: Asked) -> None:
    found = consult(asked, "10.0.0.2", DnsList(True, "good.example", "Good"), DnsList(False, "bad.example", "Bad"))
    assert found == {b"BLOCK": b"", b"BLOCK_ZONE": b"Good", b"BLOCK_IP": b"127.0.0.9", b"ALLOW_0": b"BLOCK"}


def test_a_list_is_not_asked_when_its_variable_is_set(asked: Asked) -> None:
    assert consult(asked, "10.0.0.2", DnsList(False, "bad.example", "Bad"), before={b"BLOCK": b""}) == {b"BLOCK": b""}
    assert asked[1] == []


def test_a_server_that_does_not_answer_is_no_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "QUERY_SECONDS", 0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], silent.getsockname()[1]
        assert consult((resolver, []), "10.0.0.2", DnsList(False, "bad.example", "Bad")) == {}
        assert silent.recv(4096)  # it was asked


def test_a_name_must_lead_back(monkeypatch: pytest.MonkeyPatch) -> None:
    here = addresses.packed("10.0.0.2")
    monkeypatch.setattr(socket, "getnameinfo", lambda address, flags: ("host.example", "0"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("10.0.0.2", 0))])
    assert ours.verified_name(here) == "host.example"
    assert ours.verified_name(addresses.packed("10.0.0.3")) is None


@pytest.mark.parametrize(("code", "name"), [(socket.EAI_AGAIN, "softdnserr"), (socket.EAI_NONAME, None)])
def test_no_name(monkeypatch: pytest.MonkeyPatch, code: int, name: str | None) -> None:
    def fail(address: object, flags: int) -> None:
        raise socket.gaierror(code, "test")

    monkeypatch.setattr(socket, "getnameinfo", fail)
    assert ours.verified_name(addresses.packed("10.0.0.2")) == name


@pytest.mark.parametrize("name", ["evil\nname.example", "sp ace.example", "ümlaut.example", "$(x).example"])
def test_a_name_with_strange_characters_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(socket, "getnameinfo", lambda address, flags: (name, "0"))
    assert ours.verified_name(addresses.packed("10.0.0.2")) is None
