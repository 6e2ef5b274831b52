"""Between a login stage and a next program that is not ours: a process that becomes the account, and then that program.

The login stage has given up root and cannot become anybody.  Where the next program is ours, processes of its fork
server do; in front of any other, a wrapper of the administrator's, processes of this module.
"""

from __future__ import annotations

import os

from authdaemond import arrival
from couriertcpd import environ, log, stage
from imapd.wire import response
from imaplogin import handon
from pop3d.wire import response as pop3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from couriertcpd.handover import Arrival

PRELOAD = handon.PRELOAD_ARRIVAL

_FAREWELL = response.untagged(b"BYE Temporary problem, please try again later")
_FAREWELLS = {
    "imaplogin.pop3login": pop3.error(b"Temporary problem, please try again later", pop3.TEMPORARY),
}
_farewell = _FAREWELL


def prepare(argv: list[str]) -> None:
    """Before the first fork; argv is the login stage's."""
    global _farewell
    _farewell = _FAREWELLS.get(stage.module_of(stage.found(argv[0])) or "", _FAREWELL)
    arrival.prepare(handon.next_stages(argv[1:]) or argv[1:], _farewell)


def arrive(handed: Arrival) -> None:
    """Become the account of the ticket, or end."""
    arrival.take(handed)


def main(argv: list[str]) -> int:
    """Become the program argv[0]; returns when that fails."""
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        peer = f"ip=[{environ.text('TCPREMOTEIP')}], port=[{environ.text('TCPREMOTEPORT')}]"
        log.err(f"exec({argv[0]}) failed!!")
        log.info(f"LOGIN FAILED, user={environ.text('AUTHENTICATED')}, {peer}")
        log.err(f"authentication error: {argv[0]}: {error.strerror}")
    os.write(1, _farewell)
    stage.farewell(1)
    return arrival.FAILED
