"""The one way in which the grammar says that the client is wrong."""


class Malformed(Exception):
    """Bad syntax.  The text is for the client: what was expected and where, never what the client wrote."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
