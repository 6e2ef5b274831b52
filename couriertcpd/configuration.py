"""The configuration files of -config: read again on SIGHUP, into the environment of connections to come."""

from couriertcpd import log, sysconf


class Configuration:
    """The environment that we were started with, and what the files make of it; of two files the later one wins.

    Whoever started us has read the files too.  Where the environment says something else than they did then, that was
    said on purpose, and it holds.
    """

    def __init__(self, files: tuple[str, ...], environment: dict[bytes, bytes]) -> None:
        self._files = files
        self.current = self._fixed = environment  # _fixed: without what comes from the files
        try:
            settings = self._read()
            self._fixed = {name: value for name, value in environment.items() if settings.get(name) != value}
        except (sysconf.BadConfiguration, OSError):
            return  # checkconfig(8) has told

    def reread(self) -> None:
        """Read the files; when one cannot be used that is logged, and `current` stays as it is."""
        try:
            self.current = {**self._read(), **self._fixed}
        except (sysconf.BadConfiguration, OSError) as error:
            log.err(f"{error}; what was configured before holds on")

    def _read(self) -> dict[bytes, bytes]:
        variables = {_text(name): _text(value) for name, value in self.current.items()}
        settings = {}
        for path in self._files:
            for _, name, value in sysconf.assignments(path, variables):
                variables[name] = value
                settings[_octets(name)] = _octets(value)
        return settings


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
