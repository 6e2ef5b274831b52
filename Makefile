# GNU make.  `make run` and `make check` are all that a fresh clone needs; `make help` lists the rest.
# The work is done by the scripts in libexec/build, each of which says at its head what it is for.

prefix = /usr/lib/courier-imap
DESTDIR ?=
bindir = $(prefix)/bin
sbindir = $(prefix)/sbin
libexecdir = $(prefix)/libexec
libdir = $(prefix)/lib
sysconfdir = $(prefix)/etc
datadir = $(prefix)/share
mandir = $(prefix)/man
localstatedir = $(prefix)/var
piddir = /var/run
userdb = $(sysconfdir)/userdb
authdaemonvar = $(localstatedir)/authdaemon
mailuser = daemon
mailgroup = daemon
PYTHON ?=
PYTEST_WORKERS = 2
export prefix DESTDIR bindir sbindir libexecdir libdir sysconfdir datadir mandir localstatedir piddir userdb \
       authdaemonvar mailuser mailgroup PYTHON

BUILD = libexec/build
VENV = .venv/bin

.PHONY: help run check style types layers test test-clients test-packages bench \
        install install-configure uninstall clean FORCE

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 26
	@echo "Variables: prefix DESTDIR bindir sbindir libexecdir libdir sysconfdir datadir mandir localstatedir piddir"
	@echo "           userdb authdaemonvar mailuser mailgroup PYTHON; for run: DEMO_PORT"

run: build/site/.ok ## IMAP and POP3 in the foreground, on 127.0.0.1, with a demo account
	@exec $(BUILD)/run-demo "$(MAKE)"

check: style types layers test ## everything that must hold: style, types, layers, tests

style: .venv/ok ## ruff
	$(VENV)/ruff check .

types: .venv/ok ## mypy
	$(VENV)/mypy

layers: .venv/ok ## who may import whom
	$(VENV)/lint-imports --config setup.cfg

test: .venv/ok build/site/.ok ## all tests; the figures of tests/bench are none
	$(VENV)/pytest -q -n $(PYTEST_WORKERS) tests --ignore=tests/bench

test-clients: .venv/ok build/site/.ok ## real clients against the installed tree
	$(VENV)/pytest -q tests/clients

test-packages: ## as root on Debian: the clients and tools that the tests use
	@$(BUILD)/test-packages

bench: .venv/ok build/site/.ok ## the figures, beside the C Courier-IMAP and Dovecot
	$(VENV)/python -m tests.bench

install: build/site/.ok ## the installed tree, below DESTDIR if given
	@$(BUILD)/install-tree

install-configure: build/python ## configuration files from *.dist; keeps what is set already
	@$(BUILD)/configure-tree

uninstall: ## the installed tree, but not its configuration
	@$(BUILD)/uninstall-tree

clean: ## what was built here
	rm -rf build .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Looked for anew each time; the file changes only when the answer does.
build/python: FORCE
	@$(BUILD)/find-python $@

.venv/made: build/python
	@$(BUILD)/make-venv

.venv/ok: .venv/made setup.cfg
	@$(BUILD)/fill-venv

build/site/.ok: .venv/made setup.cfg
	@$(BUILD)/make-site
