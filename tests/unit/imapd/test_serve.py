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


def test_a_silent_client_leaves_time_until_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "REST_SECONDS", 0.001)
    source, client = os.pipe()
    driver = serve.Driver(source, client)

    class Session:
        """Has three things to do, and then the client sends something."""

        def __init__(self) -> None:
            self.left = 3

        def idle(self) -> float | None:
            self.left -= 1
            if self.left:
                return 0
            os.write(client, b"a NOOP\r\n")
            return None

    driver._session = session = Session()  # type: ignore[assignment]
    assert driver.read(60) == b"a NOOP\r\n"
    assert session.left == 0
    with pytest.raises(serve.TimedOut):
        driver.read(0.01)
    os.close(source)
    os.close(client)
