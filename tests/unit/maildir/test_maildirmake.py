import os
import stat

import pytest

from maildir.maildirmake import main


def run(*words):
    return main(["maildirmake", *map(str, words)])


def test_a_maildir(tmp_path):
    assert run(tmp_path / "Maildir/") == 0
    assert sorted(os.listdir(tmp_path / "Maildir")) == ["cur", "new", "tmp"]
    assert stat.S_IMODE((tmp_path / "Maildir/cur").stat().st_mode) == 0o700


def test_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("Maildir") == 0
    assert run("-f", "Sent", "./Maildir") == 0
    assert (tmp_path / "Maildir/.Sent/maildirfolder").exists()


def test_what_exists_is_left_alone(tmp_path, capsys):
    run(tmp_path / "Maildir")
    assert run(tmp_path / "Maildir") == 1
    assert capsys.readouterr().err == f"maildirmake: {tmp_path}/Maildir: File exists\n"
    (tmp_path / "other").mkdir()
    (tmp_path / "other/precious").write_text("")
    assert run(tmp_path / "other") == 1
    assert os.listdir(tmp_path / "other") == ["precious"]


def test_one_that_was_not_finished_is_completed(tmp_path):
    (tmp_path / "Maildir/cur").mkdir(parents=True)
    assert run(tmp_path / "Maildir") == 0
    assert sorted(os.listdir(tmp_path / "Maildir")) == ["cur", "new", "tmp"]


def test_folders(tmp_path, capsys):
    run(tmp_path / "M")
    assert run("-f", "Wörk.2026", tmp_path / "M") == 0
    assert sorted(os.listdir(tmp_path / "M/.Wörk.2026")) == ["courierimapuiddb", "cur", "maildirfolder", "new", "tmp"]
    assert run("-f", "Wörk.2026", tmp_path / "M") == 1
    assert "the folder exists" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["", ".", "a..b", "a.", "a/b", "../x"])
def test_bad_folder_names(tmp_path, capsys, folder):
    run(tmp_path / "M")
    assert run("-f", folder, tmp_path / "M") == 1
    assert "not a folder name" in capsys.readouterr().err


def test_a_folder_without_a_maildir(tmp_path, capsys):
    assert run("-f", "Sent", tmp_path) == 1
    assert "not a maildir; make it first" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("-q", "10S"), ("-S",), ("-s", "read"), ("--add", "x=/y"), ("--del", "x")])
def test_what_comes_later_says_so(tmp_path, capsys, words):
    assert run(*words, tmp_path / "M") == 1
    assert "not there yet" in capsys.readouterr().err
    assert not (tmp_path / "M").exists()


def test_usage(capsys):
    assert run() != 0
    assert "usage: maildirmake" in capsys.readouterr().err
    assert run("--help") == 0
