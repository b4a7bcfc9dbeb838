"""Dino on a desktop, in a mount namespace of its own, where our names and our CA are what the system knows."""

import shutil
import sqlite3
import subprocess

from check import Skip
from desktop import Desktop
from nameserver import NameServer
from neighbours import loopback
from terminal import own_folder

NAME = "im.dino.Dino"
PATH = "/im/dino/Dino"

# The folder with what is put over the files of the system, and the program.
ENTER = """
mount --bind "$0/resolv.conf" /etc/resolv.conf && mount --bind "$0/ca.pem" /etc/ssl/certs/ca-certificates.crt && exec dino-im
"""

# Some of its tables, as it makes them.
TABLES = """
CREATE TABLE account (
    id INTEGER PRIMARY KEY AUTOINCREMENT, bare_jid TEXT NOT NULL UNIQUE, resourcepart TEXT, password TEXT, alias TEXT,
    enabled INTEGER, roster_version TEXT, mam_earliest_synced INTEGER
);
CREATE TABLE jid (id INTEGER PRIMARY KEY AUTOINCREMENT, bare_jid TEXT NOT NULL UNIQUE);
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY AUTOINCREMENT, account_id INTEGER NOT NULL, jid_id INTEGER NOT NULL, resource TEXT, active INTEGER,
    active_last_changed INTEGER NOT NULL DEFAULT 0, last_active INTEGER, type INTEGER, encryption INTEGER, read_up_to INTEGER,
    read_up_to_item INTEGER NOT NULL DEFAULT -1, notification INTEGER, send_typing INTEGER, send_marker INTEGER,
    pinned INTEGER DEFAULT 0
);
"""
OMEMO = 2


def profile(folder, account, sealed):
    """What Dino would have written when somebody had entered the account, and chosen OMEMO in a chat."""
    folder.mkdir(parents=True)
    with sqlite3.connect(folder / "dino.db") as database:
        database.executescript(TABLES)
        row = (account.address, "dino", account.password)
        database.execute("INSERT INTO account (bare_jid, resourcepart, password, enabled) VALUES (?, ?, ?, 1)", row)
        for number, friend in enumerate(sealed, 1):
            database.execute("INSERT INTO jid (bare_jid) VALUES (?)", (friend,))
            database.execute(
                "INSERT INTO conversation (account_id, jid_id, active, last_active, type, encryption, notification,"
                " send_typing, send_marker) VALUES (1, ?, 1, 1, 0, ?, 0, 0, 0)",
                (number, OMEMO),
            )


def why_not():
    """Why it cannot be tried here, if so."""
    if not shutil.which("dino-im"):
        return "Dino is not here"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        return "without a mount namespace Dino neither finds the server nor believes it"
    return None


class Dino:
    @classmethod
    async def start(cls, case, account, sealed=(), wire=None):
        """It has an encrypted chat with each address of `sealed`. With a wire it finds the end of that."""
        if why := why_not():
            raise Skip(why)
        self = cls()
        folder = own_folder(case.server.work)
        await self.names(case, folder, account, wire or case.server)
        (folder / "ca.pem").write_bytes(case.server.ca.read_bytes())
        profile(folder / "data/dino", account, sealed)
        self.desktop = await Desktop.start(case, folder)
        self.desktop.environment["GSK_RENDERER"] = "cairo"
        self.program = await self.desktop.open(case, ["unshare", "--mount", "sh", "-c", ENTER, folder])
        return self

    async def chat(self, jid):
        await self.desktop.do("visit", name=NAME, path=PATH, uri=f"xmpp:{jid}?message")

    async def say(self, text):
        await self.desktop.do("write", text=text)
        await self.desktop.do("key", name="Return")

    async def upload(self, file, colour):
        """In the chat that it shows, by the file chooser, where a slash asks for a path; it shows a picture of this colour, and
        asked whether that should be sent, it says so."""
        await self.desktop.press("Send a file")
        await self.desktop.sees("Select file")
        await self.desktop.do("key", name="slash")
        await self.desktop.do("fill", field="GtkFileChooserEntry", text=str(file))
        await self.desktop.do("key", name="Return")
        # GTK 4.8 breaks down when it is asked for widgets while the file chooser goes.
        await self.desktop.picture(file.with_suffix(".seen.png"), colour=colour, pixels=500)
        await self.desktop.press("Send")

    async def names(self, case, folder, account, end):
        try:
            names = await NameServer.start(case, loopback(), 53)
        except OSError as error:
            raise Skip(f"no name server for Dino: {error}") from None
        domain = account.address.partition("@")[2]
        names.address(f"xmpp.{domain}", end.host)
        names.service(domain, (5, 5, end.port, f"xmpp.{domain}"), kind="client")
        (folder / "resolv.conf").write_text(f"nameserver {names.host}\n")
