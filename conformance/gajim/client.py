"""Gajim as it is packaged, with the CA that is given as the one it believes."""

import os
import sys

from gi.repository import Gio

ca = sys.argv.pop(1)
Gio.TlsBackend.get_default().set_default_database(Gio.TlsFileDatabase.new(ca))
# It refuses root, who is often the only user of a container.
os.geteuid = lambda: 1

from gajim.gajim import main  # noqa: E402

main()
