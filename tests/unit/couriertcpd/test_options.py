import pytest

from couriertcpd import addresses, options
from couriertcpd.dns import DnsList
from couriertcpd.options import Limits, ProxyRule
from couriertcpd.ports import Endpoint
from couriertcpd.switches import Misuse


def parse(*words: str) -> options.Options:
    return options.parse(["tcpd", *words])


def complaint(*words: str) -> str:
    with pytest.raises(Misuse) as caught:
        parse(*words)
    return str(caught.value)


def test_defaults() -> None:
    chosen = parse("143", "imaplogin", "imapd", "Maildir")
    assert chosen.endpoints == (Endpoint("", 143),)
    assert chosen.program == ("imaplogin", "imapd", "Maildir")
    assert chosen.limits == Limits(maxprocs=40, maxperc=40, maxperip=4, warn=35)
    assert (chosen.drop, chosen.haproxy, chosen.denymsg, chosen.access) == ((), (), b"", None)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-x", "143", "prog"], "tcpd: Invalid option: -x"),
        (["-droproot", "143", "prog"], "tcpd: Invalid option: -droproot"),
        (["143"], "Usage: tcpd [options] port prog arg1 arg2..."),
        ([], "Usage: tcpd [options] port prog arg1 arg2..."),
        (["-maxprocs=0", "143", "prog"], "Invalid -maxprocsarg option."),
        (["-maxprocs=x", "143", "prog"], "Invalid -maxprocsarg option."),
        (["-maxperip=-1", "143", "prog"], "Invalid -maxperip option."),
        (["-maxperc=0", "143", "prog"], "Invalid -maxperc option."),
        (["-listen=0", "143", "prog"], "Invalid -listen option."),
        (["-stop"], "tcpd: -pid argument is required."),
        (["-restart", "-pid"], "tcpd: -pid argument is required."),
        (["0", "prog"], "Invalid port: 0"),
        (["65536", "prog"], "Invalid port: 65536"),
        (["nosuchservice", "prog"], "Invalid port: nosuchservice"),
        (["-address=1.2.3", "143", "prog"], "Invalid IP address: 1.2.3"),
        (["300.1.1.1.143", "prog"], "Invalid IP address: 300.1.1.1"),
        (["-haproxy=soon", "143", "prog"], "Invalid -haproxy option: 'soon' is not SECONDS[/port=[IP.]PORT]."),
        (["-haproxy=5/prot=1", "143", "prog"], "Invalid -haproxy option: '5/prot=1' is not SECONDS[/port=[IP.]PORT]."),
        (["-block=", "143", "prog"], "Invalid -block option: '' names no zone."),
    ],
)
def test_complaints(words: list[str], text: str) -> None:
    assert complaint(*words) == text


@pytest.mark.parametrize(
    ("words", "warn"),
    [([], 35), (["-maxprocs=4"], 3), (["-maxprocs=1"], 0), (["-warn=10"], 10), (["-warn=0"], 0), (["-warn=41"], 35)],
)
def test_warn_threshold(words: list[str], warn: int) -> None:
    assert parse(*words, "143", "prog").limits.warn == warn


def test_maxperc_is_off_unless_given() -> None:
    assert parse("-maxprocs=200", "143", "prog").limits.maxperc == 200
    assert parse("-maxprocs=200", "-maxperc=7", "143", "prog").limits.maxperc == 7


def test_old_options_are_accepted() -> None:
    chosen = parse("-noidentlookup", "-nodnslookup", "-proxy", "-listen=5", "-", "143", "-prog")
    assert chosen.nodnslookup
    assert chosen.program == ("-prog",)


def test_the_last_of_an_option_counts() -> None:
    assert parse("-maxperip=1", "-maxperip=9", "143", "prog").limits.maxperip == 9


def test_drop_and_dns_lists_keep_their_order() -> None:
    chosen = parse("-allow=a.example", "-block=b.example=B,X/127.0.0.2,Go away, @", "-drop", "143", "prog")
    assert chosen.drop == ("BLOCK",)
    assert chosen.dns_lists == (
        DnsList(True, "a.example", "a.example"),
        DnsList(False, "b.example", "B", "X", addresses.packed("127.0.0.2"), "Go away, @"),
    )
    assert parse("-drop=X, Y", "143", "prog").drop == ("X", "Y")


def test_haproxy_rules() -> None:
    assert parse("-haproxy", "143", "prog").haproxy == (ProxyRule(15),)
    rules = parse("-haproxy=5/port=143,/port=127.0.0.1.993,9", "143", "prog").haproxy
    assert rules == (ProxyRule(5, None, 143), ProxyRule(15, addresses.packed("127.0.0.1"), 993), ProxyRule(9))
    here, there = addresses.packed("127.0.0.1"), addresses.packed("127.0.0.2")
    assert rules[1].applies(here, 993)
    assert not rules[1].applies(there, 993)
    assert not rules[0].applies(here, 993)


@pytest.mark.parametrize(
    ("text", "default", "endpoints"),
    [
        ("143", "", [Endpoint("", 143)]),
        ("143,127.0.0.1.993", "", [Endpoint("", 143), Endpoint("127.0.0.1", 993)]),
        ("::1.143", "", [Endpoint("::1", 143)]),
        ("143", "0", [Endpoint("", 143)]),
        (
            "143, 0.144 ,10.0.0.1.145",
            "127.0.0.9",
            [Endpoint("127.0.0.9", 143), Endpoint("127.0.0.9", 144), Endpoint("10.0.0.1", 145)],
        ),
    ],
)
def test_port_list(text: str, default: str, endpoints: list[Endpoint]) -> None:
    assert list(parse(f"-address={default}", text, "prog").endpoints) == endpoints


def test_services_by_name() -> None:
    import socket

    try:
        socket.getservbyname("pop3", "tcp")
    except OSError:
        pytest.skip("no services(5) on this host")
    assert parse("pop3", "prog").endpoints == (Endpoint("", 110),)
