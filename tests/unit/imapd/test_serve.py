"""The driver and signals."""

import os
import select
import signal
from collections.abc import Iterator

import pytest

from couriertcpd.dialogue import Shutdown
from imapd import serve


@pytest.fixture
def restored() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGALRM)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


def test_a_signal_that_comes_just_before_the_wait_ends_it(restored: None, monkeypatch: pytest.MonkeyPatch) -> None:
    source, silent_client = os.pipe()
    driver = serve.Driver(source, silent_client)
    driver.install_signals()

    class Late:
        """Has the signal come when Python has looked for signals for the last time, and the system call begins."""

        def __init__(self) -> None:
            self._poll = poll()
            self.register = self._poll.register

        def poll(self, milliseconds: float) -> object:
            driver._waiting = False
            os.kill(os.getpid(), signal.SIGTERM)
            driver._waiting = True
            return self._poll.poll(milliseconds)

    poll = select.poll
    monkeypatch.setattr(select, "poll", Late)
    with pytest.raises(Shutdown):
        driver.read(60)
    os.close(source)
    os.close(silent_client)
