"""Log lines: one event, one line, on descriptor 2, in the original's words.

Whoever started the stage decides where descriptor 2 leads (courierlogger, a file, a terminal).  The level is a prefix
that courierlogger strips and turns into a syslog level.  fail2ban filters and monitoring read these lines, so their
texts are part of the contract.
"""

import os

# Anything that could break a line in two, or move a terminal's cursor, becomes a dot (as the original does).
_CONTROLS = {code: "." for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}

MAX_LINE = 4096  # characters; longer texts are cut so that one write stays one line in a pipe


def emit(level: str, text: str) -> None:
    """Write `LEVEL: text` as one line; a log that cannot be written to never stops the server."""
    line = f"{level}: {printable(text)[:MAX_LINE]}\n"
    try:
        os.write(2, line.encode("utf-8", "backslashreplace"))
    except OSError:
        return  # there is nowhere left to say so


def debug(text: str) -> None:
    """What only somebody looking for a fault wants to see."""
    emit("DEBUG", text)


def info(text: str) -> None:
    """An event of ordinary service."""
    emit("INFO", text)


def notice(text: str) -> None:
    """The original's NOTICE lines; courierlogger does not know the prefix, so it stays in the text."""
    emit("NOTICE", text)


def warn(text: str) -> None:
    """Something an administrator should look at."""
    emit("WARN", text)


def err(text: str) -> None:
    """Something that failed."""
    emit("ERR", text)


def alert(text: str) -> None:
    """Something that turns users away now."""
    emit("ALERT", text)


def printable(text: str | bytes) -> str:
    """Text for a log line: bytes as UTF-8 (what is not shows as hex), control characters as dots."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    return text.translate(_CONTROLS)


def whereabouts(error: BaseException) -> str:
    """The kind of an unexpected error and the lines that led to it; never its text, which may hold anybody's data."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__} at {' '.join(places)}"
