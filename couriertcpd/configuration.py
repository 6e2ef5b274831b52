"""The configuration files of -config: read again on SIGHUP, into the environment of connections to come."""

from couriertcpd import log, sysconf


class Configuration:
    """The environment as we were started with it, and what the files make of it; of two files the later one wins."""

    def __init__(self, files: tuple[str, ...], environment: dict[bytes, bytes]) -> None:
        self._files = files
        self._environment = environment  # without what the files say
        self.current = environment
        if files:
            settings = self._read()
            if settings is not None:
                # Whoever started us has read the files; what they no longer set one day is to be unset then.
                self._environment = {name: value for name, value in environment.items() if name not in settings}

    def reread(self) -> None:
        """Read the files; when one cannot be used that is logged, and `current` stays as it is."""
        settings = self._read()
        if settings is not None:
            self.current = {**self._environment, **settings}

    def _read(self) -> dict[bytes, bytes] | None:
        variables = {_text(name): _text(value) for name, value in self.current.items()}
        settings = {}
        try:
            for path in self._files:
                for _, name, value in sysconf.assignments(path, variables):
                    variables[name] = value
                    settings[_octets(name)] = _octets(value)
        except (sysconf.BadConfiguration, OSError) as error:
            log.err(f"{error}; what was configured before holds on")
            return None
        return settings


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
