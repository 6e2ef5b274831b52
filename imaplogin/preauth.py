"""What every login stage has: who is asking, the time limit, the delay after a failure, the log lines."""

from __future__ import annotations

import os
import signal
import time

from authdaemond import client
from couriertcpd import environ, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from authdaemond.account import Account

LOGIN_SECONDS = 60
FAILURE_DELAY_SECONDS = 5
LAST_WORDS_SECONDS = 5
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class TimedOut(Exception):
    """The whole login phase took longer than LOGIN_SECONDS."""


class Shutdown(Exception):
    """SIGTERM, SIGHUP or SIGINT arrived."""


class Peer:
    """The client's address as the listener told it, and the time since the stage began."""

    def __init__(self, port: str) -> None:
        for name, default in (("TCPREMOTEIP", "127.0.0.1"), ("TCPREMOTEPORT", "N/A"), ("TCPLOCALPORT", port)):
            if not environ.text(name):
                environ.put(name, default)
        self.where = f"ip=[{environ.text('TCPREMOTEIP')}], port=[{environ.text('TCPREMOTEPORT')}]"
        self._began = time.monotonic()

    @property
    def seconds(self) -> int:
        """Whole seconds since the stage began."""
        return int(time.monotonic() - self._began)


def limit_time() -> int:
    """Start the clock of the login phase and turn signals into exceptions.

    Returns a descriptor that is readable once a signal has come: no exception ends a wait that begins just after the
    signal, so who waits looks at this too.
    """
    signalled, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    signal.signal(signal.SIGALRM, _on_alarm)
    for number in ENDING:
        signal.signal(number, _on_signal)
    signal.alarm(LOGIN_SECONDS)
    return signalled


def end_soon() -> None:
    """Once the client is done with: no signal raises any more, and who does not take the last words is left."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LAST_WORDS_SECONDS)


def lift_limits() -> None:
    """Give the next stage its signals as a fresh program has them."""
    signal.alarm(0)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGALRM, *ENDING):
        signal.signal(number, signal.SIG_DFL)


def _on_alarm(number: int, frame: FrameType | None) -> None:
    raise TimedOut


def _on_signal(number: int, frame: FrameType | None) -> None:
    raise Shutdown


def service(default: str) -> bytes:
    """The service name for authdaemond: AUTHSERVICE<local port> where the administrator set it."""
    return (environ.text("AUTHSERVICE" + environ.text("TCPLOCALPORT")) or default).encode()


def decide(peer: Peer, who: str, ask: Callable[[], Account]) -> Account:
    """Ask authdaemond; log a failure at once, before any delay, so that log watchers see it while it matters.

    who is `user=NAME` or `method=MECHANISM`.  Raises authdaemond.client.Rejected after the delay, or TemporaryFailure.
    """
    try:
        return ask()
    except client.Rejected:
        failed(peer, who)
        time.sleep(FAILURE_DELAY_SECONDS)
        raise
    except client.TemporaryFailure as failure:
        failed(peer, who)
        log.err(f"authentication error: {failure}")
        raise


def failed(peer: Peer, who: str) -> None:
    """The line that fail2ban filters look for.

    There a comma ends a field: a name with one in it could name an address to be shut out.  So it is told as a dot.
    """
    log.info(f"LOGIN FAILED, {who.replace(',', '.')}, {peer.where}")
