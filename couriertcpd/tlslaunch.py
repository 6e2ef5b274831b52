"""Between couriertls and a next program that is not ours: a process that becomes that program.

couriertls has given up root, and the program may need it.  So it is the one of the chain's command line, and from
couriertls comes only what is about the connection.
"""

from __future__ import annotations

from couriertcpd import environ, log, stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from couriertcpd.handover import Arrival

# What couriertls may say in the environment to a process that is still root.
_OF_CONNECTION = (b"TCP", b"TLS_SUBJECT_", b"TLS_CONNECTED_PROTOCOL", b"TLS_EXPORTER", b"COURIER_SLOT")
_FROM_ACCESS_FILE = (b"DEFDOMAIN", b"DOMAINSEP", b"AUTHSERVICE")

_program: list[str] = []
_environment: dict[bytes, bytes] = {}


def prepare(argv: list[str]) -> None:
    """Before the first fork; argv is couriertls's name and the stages behind it."""
    global _program, _environment
    _program, _environment = argv[1:], environ.everything()


def arrive(handed: Arrival) -> None:
    """Believe of the hand-over what it may say."""
    handed.argv = _program
    handed.environment = believed(_environment, handed.environment)


def believed(known: dict[bytes, bytes], told: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """The environment for a connection that somebody without privileges hands over: known, and what he may tell."""
    told = {name: value for name, value in told.items() if name.startswith((*_OF_CONNECTION, *_FROM_ACCESS_FILE))}
    return {**{name: value for name, value in known.items() if not name.startswith(_OF_CONNECTION)}, **told}


def main(argv: list[str]) -> int:
    """Become the program argv[0]; returns when that fails."""
    try:
        stage.execute(argv)
    except OSError as error:
        log.err(f"{argv[0]}: {error.strerror}")
    return stage.TEMPORARY
