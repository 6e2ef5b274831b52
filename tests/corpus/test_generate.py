"""The corpus: the same for the same seed, honest Maildir files, every kind of content."""

import email
import statistics
from pathlib import Path

from tests.corpus import generate


def test_seed_decides(tmp_path: Path) -> None:
    first = list(generate.messages(7, 40))
    assert first == list(generate.messages(7, 60))[:40]
    assert first != list(generate.messages(8, 40))


def test_same_files_again(tmp_path: Path) -> None:
    for name in ("a", "b"):
        generate.fill(tmp_path / name, 30, seed=3, folders=True, max_octets=20_000)
    files = [
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("a", "b")
    ]
    assert files[0] == files[1]
    assert any("Entwürfe" in str(path) for path in files[0])
    assert sum(path.parts[0] == "new" for path in files[0]) == 1
    assert len({path.stat().st_mtime for path in (tmp_path / "a" / "cur").iterdir()}) == 29


def test_contents_vary() -> None:
    contents = list(generate.messages(1, 1500, max_octets=300_000))
    assert not any(b"\r" in content or b"\0" in content for content in contents)
    assert 5_000 < statistics.median(map(len, contents)) < 10_000
    kinds = {part.get_content_type() for content in contents for part in email.message_from_bytes(content).walk()}
    expected = {
        "text/plain", "text/html", "text/calendar", "message/rfc822", "message/partial", "message/external-body",
        "message/delivery-status", "multipart/mixed", "multipart/alternative", "multipart/related", "multipart/signed",
        "multipart/digest", "multipart/report", "application/pdf",
    }  # fmt: skip
    assert expected <= kinds
    everything = b"".join(contents).lower()
    for charset in (b"utf-8", b"iso-8859-1", b"iso-8859-2", b"iso-8859-15", b"koi8-r", b"iso-2022-jp", b"gb2312"):
        assert b"=?" + charset + b"?" in everything
        assert b"charset=" + charset in everything
    for rare in (b"filename*0*=", b"undisclosed-recipients:;", b"list-id:", b"references:", b"begin 644"):
        assert rare in everything
