"""courierstat(8): who is connected to the servers of this installation, and an end to one of them."""

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from couriertcpd import addresses, sessions
from couriertcpd.sessions import NotRunning, Server, Session, Unreachable

Row = dict[str, Any]


def main(argv: list[str]) -> int:
    """Run courierstat; 1 when a server could not be asked or a session not be ended."""
    chosen = _options(argv)
    try:
        places = [(path, path) for path in chosen.socket] or list(sessions.sockets())
    except Unreachable as error:
        return _complain(str(error))
    if not places:
        return _complain("no server is configured here (make install-configure?); or give --socket PATH")
    servers, failed = _servers(places, bool(chosen.socket))
    if not servers:
        return 1
    if chosen.end is not None or chosen.end_pid is not None:
        return _end(servers, chosen.end, chosen.end_pid) or failed
    found = [_description(server) for server in servers]
    try:
        print(json.dumps({"servers": found}, indent=2) if chosen.json else "\n".join(_lines(found)), flush=True)
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough; the interpreter need not tell
    return failed


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="courierstat", description="Show who is connected to the mail servers.")
    parser.add_argument("--json", action="store_true", help="print all that is known as JSON")
    parser.add_argument(
        "--socket", action="append", default=[], metavar="PATH", help="ask this server: PIDFILE.status, or -status"
    )
    ending = parser.add_mutually_exclusive_group()
    ending.add_argument("--end", metavar="ACCOUNT", help="end every session of this account; the clients get a BYE")
    ending.add_argument("--end-pid", type=int, metavar="PID", help="end the session of this process")
    return parser.parse_args(argv[1:])


def _servers(places: Iterable[tuple[str, str]], asked_for: bool) -> tuple[list[Server], int]:
    """Those that answer, and an exit status; a configured server that does not run is said, but no failure."""
    servers, failed, idle = [], 0, []
    for name, path in places:
        try:
            servers.append(Server(name, path))
        except NotRunning as error:
            idle.append(f"{name}: {error}")
            failed |= asked_for
        except Unreachable as error:
            failed = _complain(f"{name}: {error}")
    if asked_for or not servers:
        for text in idle:
            _complain(text)
    return servers, int(failed)


def _complain(text: str) -> int:
    print(f"courierstat: {text}", file=sys.stderr)
    return 1


# Ending


def _end(servers: list[Server], account: str | None, pid: int | None) -> int:
    chosen = [
        session
        for server in servers
        for session in server.sessions
        if (session.user == account if account is not None else pid == session.pid)
    ]
    if not chosen:
        what = f"account {account}" if account is not None else f"process {pid}"
        return _complain(f"no session of {what}")
    failed = 0
    for session in chosen:
        problem = sessions.end(session)
        if problem:
            failed = _complain(problem)
        else:
            print(f"ended: {session.user or '(nobody logged in)'}, ip=[{session.ip}], process {session.pid}")
    return failed


# Showing


def _description(server: Server) -> Row:
    """What --json has of a server: its document, with the slots as sessions."""
    rest = {name: value for name, value in server.document.items() if name != "slots"}
    stages, connected = map(vars, server.stages), map(_session, server.sessions)
    return {"name": server.name, **rest, "stages": list(stages), "sessions": list(connected)}


def _session(session: Session) -> Row:
    return {
        "user": session.user or None,
        "ip": session.ip,
        "protocol": session.told.get("protocol") or None,
        "tls": session.told.get("tls"),
        "state": session.told.get("state"),
        "since": session.since,
        "age": max(0, int(time.time() - session.since)),
        "pid": session.pid,
        "processes": session.processes,
        **_used(session.processes),
    }


def _used(processes: Iterable[int]) -> Row:
    """Memory (octets) and processor time (seconds) of the processes together; None of those that we may not see."""
    import psutil

    uss = pss = cpu = None
    for pid in processes:
        try:
            process = psutil.Process(pid)
            times, memory = process.cpu_times(), process.memory_full_info()
        except psutil.Error:
            continue
        uss, pss = (uss or 0) + memory.uss, (pss or 0) + memory.pss
        cpu = (cpu or 0.0) + times.user + times.system
    return {"uss": uss, "pss": pss, "cpu": cpu}


_HEADINGS = ("ACCOUNT", "ADDRESS", "PROTOCOL", "TLS", "STATE", "AGE", "PID", "USS KiB", "PSS KiB", "CPU s")
_STAGE = ("PROGRAM", "PID", "WAITING", "SERVING")
_NUMBERS = frozenset(("AGE", "PID", "USS KiB", "PSS KiB", "CPU s", "CONNECTIONS", "LIMIT", *_STAGE[1:]))


def _lines(servers: list[Row]) -> Iterator[str]:
    for number, server in enumerate(servers):
        if number:
            yield ""
        yield from _server_lines(server)


def _server_lines(server: Row) -> Iterator[str]:
    ports, limits = server["ports"], server["limits"]
    age = _duration(time.time() - server["since"])
    yield f"{server['name']}: process {server['pid']}, port {', '.join(ports)}, running for {age}"
    yield f"{server['connections']} of {limits['maxprocs']} connections"
    if server["sessions"]:
        yield from _table(_HEADINGS, map(_cells, server["sessions"]))
    for name, key, heading in (("addresses", "ip", "ADDRESS"), ("blocks", "block", "BLOCK")):
        counts = [(_native(row[key]), str(row["connections"]), str(row["limit"])) for row in server[name]]
        if counts:
            yield ""
            yield from _table((heading, "CONNECTIONS", "LIMIT"), counts)
    if server["stages"]:
        yield ""
        yield from _table(_STAGE, [[str(row[name.lower()]) for name in _STAGE] for row in server["stages"]])


def _cells(row: Row) -> list[str]:
    return [
        row["user"] or "-",
        _native(row["ip"]),
        row["protocol"] or "-",
        "-" if row["tls"] is None else "yes" if row["tls"] else "no",
        row["state"] or "-",
        _duration(row["age"]),
        str(row["pid"] or "-"),
        *("-" if row[name] is None else str(row[name] // 1024) for name in ("uss", "pss")),
        "-" if row["cpu"] is None else f"{row['cpu']:.2f}",
    ]


def _native(ip: str | None) -> str:
    return "-" if ip is None else addresses.native(addresses.packed(ip))


def _duration(seconds: float) -> str:
    """12:03, 1:12:03 or 3d 01:12."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour:02}:{minute:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    columns = [list(column) for column in zip(headings, *rows, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    right = [column[0] in _NUMBERS for column in columns]
    for row in zip(*columns, strict=True):
        cells = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        )
        yield "  ".join(cells).rstrip()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
