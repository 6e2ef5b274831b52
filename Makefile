# GNU make.  `make run` and `make check` are all that a fresh clone needs.
PYTHON := /usr/bin/python3
.venv/ok: setup.cfg
	$(PYTHON) -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check python-daemon pyopenssl libpass watchdog psutil hypothesis IMAPClient import-linter mypy pytest pytest-xdist ruff types-psutil types-pyOpenSSL
	touch $@
