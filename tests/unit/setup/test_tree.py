"""The installed tree."""


def test_try(installed_tree):
    assert (installed_tree.etc / "imapd").exists()
