"""Where this installation lives.

`make install` writes these lines anew with the directories it was given; in the source tree they are the defaults.
"""

PREFIX = "/usr/lib/courier-imap"
BINDIR = "/usr/lib/courier-imap/bin"
SBINDIR = "/usr/lib/courier-imap/sbin"
LIBEXECDIR = "/usr/lib/courier-imap/libexec"
SYSCONFDIR = "/usr/lib/courier-imap/etc"
DATADIR = "/usr/lib/courier-imap/share"
LOCALSTATEDIR = "/usr/lib/courier-imap/var"
PIDDIR = "/var/run"
USERDB = "/usr/lib/courier-imap/etc/userdb"
AUTHDAEMONVAR = "/usr/lib/courier-imap/var/authdaemon"
VERSION = "0.1.0"
MAILUSER = "daemon"
