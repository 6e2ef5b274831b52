"""How a command ends other than well: the three families of dispatch.py's error mapping."""


class Bad(Exception):
    """The client is wrong: a tagged BAD with this text, and one more protocol violation on its account."""


class No(Exception):
    """The answer is no: a tagged NO with this text, `[CODE] ` in front when there is a response code."""

    def __init__(self, text: str, code: bytes = b"") -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class Bye(Exception):
    """The connection ends: `* BYE text`, then exit with status."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
