"""Command-line tools around accounts and passwords; each module is one program."""
