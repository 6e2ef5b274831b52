"""Account options, `name=value,name,name=value`, and the defaults of a site."""


def merged(options: bytes, defaults: bytes) -> bytes:
    """The account's options, with those defaults behind them whose names the account does not have."""
    own = _pairs(options)
    named = {name for name, _ in own}
    added = [text for name, text in _pairs(defaults) if name not in named]
    return b",".join([text for _, text in own] + added)


def _pairs(options: bytes) -> list[tuple[bytes, bytes]]:
    return [(text.partition(b"=")[0], text) for text in options.split(b",") if text]
