"""One connection in its own process: from the fork until it has become the first program of the chain."""

import os
import socket
from dataclasses import dataclass

from couriertcpd import addresses, dns, log, refusal, spawn, stage, stageserver
from couriertcpd.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from couriertcpd.slots import Slot

# What is known about a connection; a value inherited from whoever started the listener would be about another one.
# And what is for fork servers only.
_OURS = frozenset(
    (
        *b"TCPREMOTEIP TCPREMOTEPORT TCPREMOTEHOST TCPREMOTEINFO TCPLOCALIP TCPLOCALPORT TCPLOCALHOST".split(),
        *(name.encode() for name in stageserver.SETTINGS),
    )
)


@dataclass(frozen=True, slots=True)
class Ends:
    """Who is connected to what, addresses as 16 octets; `via` is TCPREMOTEINFO's text when a proxy said so."""

    remote: bytes
    remote_port: int
    local: bytes
    local_port: int
    via: str = ""


def variables(
    inherited: dict[bytes, bytes], ends: Ends, from_access: tuple[tuple[bytes, bytes], ...]
) -> dict[bytes, bytes]:
    """The program's environment, without what only the DNS knows."""
    environment = {name: value for name, value in inherited.items() if name not in _OURS}
    environment[b"TCPREMOTEIP"] = addresses.written(ends.remote).encode()
    environment[b"TCPREMOTEPORT"] = b"%d" % ends.remote_port
    environment[b"TCPLOCALIP"] = addresses.written(ends.local).encode()
    environment[b"TCPLOCALPORT"] = b"%d" % ends.local_port
    if ends.via:
        environment[b"TCPREMOTEINFO"] = ends.via.encode()
    environment.update(from_access)
    return environment


def run(
    options: Options,
    client: socket.socket,
    slot: "Slot",
    ends: Ends,
    environment: dict[bytes, bytes],
    waiting: socket.socket | None = None,
) -> None:
    """Place the descriptors, ask the DNS, and become the program, or hand the connection to those that wait for it.

    `waiting` is the socket to them.  Returns when that is done, and if the client is dropped or exec fails.
    """
    spawn.place(0, client.fileno())
    spawn.place(1, client.fileno())
    if options.stderr == "socket":
        spawn.place(2, client.fileno())
    spawn.place(spawn.SLOT, slot.write_end)
    if waiting is not None:
        os.dup2(waiting.detach(), spawn.SLOT + 1, inheritable=False)
    # Until the exec the listener's other connections are open here too, and must not outlive it for a slow name server.
    client.detach()
    spawn.close_above(spawn.SLOT if waiting is None else spawn.SLOT + 1)
    _ask_dns(options, ends, environment)
    if blocked(options, environment):
        log.warn(f"dropped blocked connection from {addresses.written(ends.remote)}")
        refusal.dismiss(socket.socket(fileno=0), denial(options))
        return
    if waiting is not None:
        try:
            stage.hand_over(socket.socket(fileno=spawn.SLOT + 1), options.program, environment)
            return
        except OSError as error:
            log.warn(f"{options.program[0]}: hand-over: {error}; the program is started")
    spawn.execute(options.program, environment)


def needs_time(options: Options) -> bool:
    """Whether somebody has to be asked about each client, so that it needs a process of its own from the beginning."""
    return not options.nodnslookup or bool(options.dns_lists)


def blocked(options: Options, environment: dict[bytes, bytes]) -> bool:
    """Whether a variable of -drop says that the client is to be turned away."""
    return any(environment.get(name.encode("utf-8", "surrogateescape")) for name in options.drop)


def denial(options: Options) -> bytes:
    """What a client that is turned away by rule is sent."""
    return options.denymsg + b"\n" if options.denymsg else b""


def _ask_dns(options: Options, ends: Ends, environment: dict[bytes, bytes]) -> None:
    if not options.nodnslookup:
        dns.hurry_resolver()
        for variable, address in ((b"TCPREMOTEHOST", ends.remote), (b"TCPLOCALHOST", ends.local)):
            name = None if variable in environment else dns.verified_name(address)
            if name is not None:
                environment[variable] = name.encode()
    if options.dns_lists:
        resolver = dns.new_resolver()
        if resolver is not None:
            dns.consult(options.dns_lists, ends.remote, environment, resolver)
