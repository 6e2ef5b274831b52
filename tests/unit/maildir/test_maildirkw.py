import json
import os

import pytest

from maildir.keywords import Keywords
from maildir.maildirkw import main

A, B, C = "1.a.h", "2.b.h,S=3", "3.c.h"


@pytest.fixture
def folder(root, disk):
    disk.put(A + ":2,S")
    disk.put(B + ":2,")
    disk.deliver(C)
    return disk.path


def run(*words):
    return main(["maildirkw", *map(str, words)])


def listed(capfdbinary, folder):
    assert run("-L", folder) == 0
    return capfdbinary.readouterr().out.splitlines()


def test_set_add_remove(folder, capfdbinary):
    assert run(folder, B, "zap", "Foo") == 0
    assert run(folder, A + ":2,S", "one") == 0
    assert run(folder, f"new/{C}", "foo") == 0
    assert listed(capfdbinary, folder) == [b"1.a.h one", b"2.b.h,S=3 Foo zap", b"3.c.h Foo"]
    assert run("-a", folder, A, "two", "ONE") == 0
    assert run("-r", "-l", folder, B, "FOO", "never") == 0
    assert listed(capfdbinary, folder) == [b"1.a.h one two", b"2.b.h,S=3 zap", b"3.c.h Foo"]
    assert run(folder, A) == 0
    assert listed(capfdbinary, folder) == [b"2.b.h,S=3 zap", b"3.c.h Foo"]


def test_json(folder, capfdbinary):
    run(folder, A, "one", "k\udcff")
    assert run("-L", "--json", folder) == 0
    assert json.loads(capfdbinary.readouterr().out) == [{"message": A, "keywords": ["k\udcff", "one"]}]


def test_listing_writes_nothing(folder, capfdbinary):
    assert listed(capfdbinary, folder) == []
    assert not (folder / "courierimapkeywords").exists()
    run(folder, A, "one")
    run("-L", folder)
    assert os.listdir(folder / "courierimapkeywords") == [A]


def test_a_keyword_that_looks_like_an_option(folder, capfdbinary):
    assert run(folder, A, "--", "-a") == 0
    assert listed(capfdbinary, folder) == [b"1.a.h -a"]


def test_keywords_that_were_there_are_kept(folder, root, capfdbinary):
    Keywords(root).replace([b"1.a.h"], [b"old"])
    run("-a", folder, A, "new")
    assert listed(capfdbinary, folder) == [b"1.a.h new old"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: DIR"),
        (["DIR"], "which message?"),
        (["-L", "DIR", A], "-L lists a folder"),
        (["-L", "-a", "DIR"], "-L lists a folder"),
        (["--json", "DIR", A, "x"], "give -L"),
        (["-a", "DIR", A], "need a keyword"),
        (["-a", "-r", "DIR", A, "x"], "not allowed with"),
        (["-c", "DIR", A, "x"], "SMAP"),
        (["DIR", A, "two\nlines"], "a keyword is one line"),
        (["DIR", A, ""], "a keyword is one line"),
        (["DIR", A, "x" * 1001], "at most 1000"),
        (["-x", "DIR", A, "x"], "unrecognized arguments: -x"),
    ],
)
def test_usage(folder, capfd, words, said):
    assert run(*[folder if word == "DIR" else word for word in words]) == 2
    err = capfd.readouterr().err
    assert "usage: maildirkw [-l]" in err
    assert said in err
    assert not (folder / "courierimapkeywords").exists()


def test_faults(folder, tmp_path, capfd):
    assert run("-L", tmp_path / "none") == 1
    assert capfd.readouterr().err == f"maildirkw: {tmp_path}/none/new: No such file or directory\n"
    assert run(tmp_path / "none", A, "x") == 1
    assert capfd.readouterr().err == f"maildirkw: {tmp_path}/none/new: No such file or directory\n"
    assert run(folder, "4.d.h", "x") == 1
    assert capfd.readouterr().err == f"maildirkw: {folder}/4.d.h: no message of that name in cur or new\n"
    assert not (folder / "courierimapkeywords").exists()
