"""The options of couriertcpd: what they are, what they default to, and what is wrong with them."""

from dataclasses import dataclass

from couriertcpd import addresses, ports, switches
from couriertcpd.dns import DnsList
from couriertcpd.environ import atoi
from couriertcpd.ports import Endpoint
from couriertcpd.stageserver import Spares
from couriertcpd.switches import Misuse

PROXY_SECONDS = 15
MAX_PROXY_SECONDS = 3600
MAX_SPARES = 1000

KNOWN = frozenset(
    "access accesslocal address allow block config denymsg drop group haproxy listen maxperc maxperip maxprocs maxspare"
    " nodnslookup noidentlookup pid prefork proxy restart status stderr stderrlogger stderrloggername stop user"
    " warn".split()
)


@dataclass(frozen=True, slots=True)
class ProxyRule:
    """Where a PROXY protocol header is expected, and how many seconds it may take; None stands for any."""

    seconds: int
    address: bytes | None = None
    port: int | None = None

    def applies(self, address: bytes, port: int) -> bool:
        """True for a connection that arrived at this local address and port."""
        return self.port in (None, port) and self.address in (None, address)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections there may be: in all, from one network block, from one address; and when to warn."""

    maxprocs: int = 40
    maxperc: int = 40
    maxperip: int = 4
    warn: int = 35


@dataclass(frozen=True, slots=True)
class Options:
    """A command line that was understood.  `endpoints` and `program` are empty with -stop and -restart."""

    endpoints: tuple[Endpoint, ...] = ()
    program: tuple[str, ...] = ()
    limits: Limits = Limits()
    access: str | None = None
    accesslocal: bool = False
    config: tuple[str, ...] = ()
    denymsg: bytes = b""
    dns_lists: tuple[DnsList, ...] = ()
    drop: tuple[str, ...] = ()
    haproxy: tuple[ProxyRule, ...] = ()
    nodnslookup: bool = False
    pid: str | None = None
    spares: Spares | None = None
    status: str | None = None
    stop: bool = False
    restart: bool = False
    user: str | None = None
    group: str | None = None
    stderr: str | None = None
    stderrlogger: str | None = None
    stderrloggername: str | None = None


def parse(argv: list[str]) -> Options:
    """Understand a whole command line, or raise Misuse with the text for standard error."""
    given, operands = switches.split(argv, KNOWN)
    last = dict(given)
    stop, restart = "stop" in last, "restart" in last
    if stop or restart:
        if not last.get("pid"):
            raise Misuse(f"{argv[0]}: -pid argument is required.")
        return Options(pid=last["pid"], stop=stop, restart=restart)
    if len(operands) < 2:
        raise Misuse(f"Usage: {argv[0]} [options] port prog arg1 arg2...")
    if "listen" in last and atoi(last["listen"]) <= 0:  # checked, then ignored: the backlog is always SOMAXCONN
        raise Misuse("Invalid -listen option.")
    return Options(
        endpoints=ports.parse(operands[0], last.get("address", "")),
        program=tuple(operands[1:]),
        limits=_limits(last),
        access=last.get("access") or None,
        accesslocal="accesslocal" in last,
        config=tuple(value for name, value in given if name == "config" and value),
        denymsg=last.get("denymsg", "").encode("utf-8", "surrogateescape"),
        dns_lists=tuple(_dns_list(name, value) for name, value in given if name in ("block", "allow")),
        drop=_names(last["drop"] or "BLOCK") if "drop" in last else (),
        haproxy=_proxy_rules(last["haproxy"]) if "haproxy" in last else (),
        nodnslookup="nodnslookup" in last,
        pid=last.get("pid") or None,
        spares=_spares(last),
        status=last.get("status") or None,
        user=last.get("user") or None,
        group=last.get("group") or None,
        stderr=last.get("stderr") or None,
        stderrlogger=last.get("stderrlogger") or None,
        stderrloggername=last.get("stderrloggername") or None,
    )


def _limits(last: dict[str, str]) -> Limits:
    maxprocs = _positive(last, "maxprocs", 40, "Invalid -maxprocsarg option.")
    warn = maxprocs - (maxprocs // 10 + 1)
    if "warn" in last and 0 <= atoi(last["warn"]) <= maxprocs:
        warn = atoi(last["warn"])
    return Limits(
        maxprocs=maxprocs,
        maxperc=_positive(last, "maxperc", maxprocs, "Invalid -maxperc option."),
        maxperip=_positive(last, "maxperip", 4, "Invalid -maxperip option."),
        warn=warn,
    )


def _spares(last: dict[str, str]) -> Spares | None:
    """-prefork and -maxspare; None for the exec form."""
    text = last.get("prefork", "0")
    if not (text.isascii() and text.isdigit()):
        raise Misuse("Invalid -prefork option.")
    least = min(int(text[:10]), MAX_SPARES)
    most = _positive(last, "maxspare", 4 * least or 1, "Invalid -maxspare option.")
    return Spares(least, min(max(least, most), MAX_SPARES)) if least else None


def _positive(last: dict[str, str], name: str, default: int, complaint: str) -> int:
    number = atoi(last[name][:10]) if name in last else default
    if number <= 0:
        raise Misuse(complaint)
    return number


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def _dns_list(option: str, value: str) -> DnsList:
    """`zone[=display][,VAR[/a.b.c.d][,message]]`."""
    where, _, rest = value.partition(",")
    what, _, message = rest.partition(",")
    zone, _, display = where.partition("=")
    variable, _, address = what.partition("/")
    if not zone:
        raise Misuse(f"Invalid -{option} option: {value!r} names no zone.")
    try:
        expected = addresses.packed(address) if address else None
    except ValueError as error:
        raise Misuse(str(error)) from error
    variable = variable or "BLOCK"
    if not variable.isascii() or "=" in variable:
        raise Misuse(f"Invalid -{option} option: {variable!r} cannot be the name of an environment variable.")
    return DnsList(option == "allow", zone, display or zone, variable, expected, message)


def _proxy_rules(value: str) -> tuple[ProxyRule, ...]:
    return tuple(_proxy_rule(item.strip()) for item in value.split(",")) if value else (ProxyRule(PROXY_SECONDS),)


def _proxy_rule(item: str) -> ProxyRule:
    """`SECONDS[/port=[IP.]PORT]`; without seconds the default holds."""
    seconds_text, slash, where = item.partition("/")
    seconds = atoi(seconds_text[:10]) if seconds_text else PROXY_SECONDS
    if not 0 < seconds <= MAX_PROXY_SECONDS or (slash and not where.startswith("port=")):
        raise Misuse(f"Invalid -haproxy option: {item!r} is not SECONDS[/port=[IP.]PORT].")
    if not slash:
        return ProxyRule(seconds)
    endpoints = ports.parse(where.removeprefix("port="), "")
    if len(endpoints) != 1:
        raise Misuse(f"Invalid -haproxy option: {item!r} names no port.")
    address = addresses.packed(endpoints[0].address) if endpoints[0].address else None
    return ProxyRule(seconds, address, endpoints[0].port)
