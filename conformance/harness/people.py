"""Gajim on a desktop and Profanity in a terminal, as people have them."""

import json
import sqlite3
from pathlib import Path

from check import CONFORMANCE
from desktop import PYTHON, Desktop
from terminal import Terminal, own_folder

OMEMO = Path("/usr/share/gajim/plugins/omemo")
SCRIPT = CONFORMANCE / "gajim/client.py"
NAME = "org.gajim.Gajim"
PATH = "/org/gajim/Gajim"
WINDOW = f"{PATH}/window/1"

RC = """
[connection]
tls.certpath={certificates}
[ui]
splash=false
[logging]
chlog=false
[presence]
saved.status=none
"""


async def profanity(case, account, ca=None, tls="force", wire=None):
    """Profanity, on the way to the server, or to the end of a wire."""
    folder = own_folder(case.server.work)
    rc = folder / "config/profanity/profrc"
    rc.parent.mkdir(parents=True)
    rc.write_text(RC.format(certificates=(ca or case.server.ca).parent / "hashed"))
    environment = {
        "HOME": folder,
        "XDG_CONFIG_HOME": folder / "config",
        "XDG_DATA_HOME": folder / "data",
        "LC_ALL": "C.UTF-8",
    }
    terminal = Terminal(folder, ["profanity", "--log", "DEBUG"], environment)
    case.closing(terminal.close)
    await terminal.sees("Profanity")
    end = wire or case.server
    terminal.type(f"/connect {account.address} server {end.host} port {end.port} tls {tls}")
    await terminal.sees("Enter password:")
    terminal.type(account.password)
    return terminal


async def online(case, account, tls="force", wire=None):
    """Profanity, logged in."""
    terminal = await profanity(case, account, tls=tls, wire=wire)
    await terminal.sees(f"{account.address}", "logged in successfully")
    return terminal


def profile(folder, server, account, plugins, contacts):
    """What Gajim would have written when somebody had entered the account."""
    localpart, domain = account.address.split("@")
    app = {"use_keyring": False, "check_for_update": False, "sounds_on": False, "autoaway": False, "autoxa": False}
    server = {"use_custom_host": True, "custom_host": server.host, "custom_port": server.port}
    one = {"active": True, "name": localpart, "hostname": domain, "password": account.password, **server}
    folder.mkdir(parents=True)
    with sqlite3.connect(folder / "settings.sqlite") as settings:
        settings.execute("CREATE TABLE settings (name TEXT UNIQUE, settings TEXT)")
        settings.execute("CREATE TABLE account_settings (account TEXT UNIQUE, settings TEXT)")
        for name, value in {
            "app": app,
            "soundevents": {},
            "status_presets": {},
            "proxies": {},
            "plugins": {name: {"active": True} for name in plugins},
            "workspaces": {"here": {"name": "Verona"}},
        }.items():
            settings.execute("INSERT INTO settings VALUES (?, ?)", (name, json.dumps(value)))
        all_settings = {"account": one, "contact": contacts or {}, "group_chat": {}}
        settings.execute("INSERT INTO account_settings VALUES (?, ?)", (localpart, json.dumps(all_settings)))
        settings.execute("PRAGMA user_version=5")


class Gajim:
    @classmethod
    async def start(cls, case, account, ca=None, wire=None, plugins=(), contacts=None):
        self = cls()
        self.account = account.address.split("@")[0]
        folder = own_folder(case.server.work)
        profile(folder / "config/gajim", wire or case.server, account, plugins, contacts)
        self.desktop = await Desktop.start(case, folder)
        await self.desktop.open(case, [PYTHON, SCRIPT, ca or case.server.ca, "--separate"])
        await self.desktop.sees("Accounts", "Verona")
        return self

    async def act(self, path, action, value=None):
        await self.desktop.do("act", name=NAME, path=path, action=action, value=value)

    async def roster(self):
        event = {"type": "connection-failed", "sub_type": "", "account": self.account, "jid": ""}
        await self.act(PATH, f"{self.account}-open-event", event)

    async def chat(self, jid):
        await self.act(WINDOW, "add-chat", {"account": self.account, "jid": jid, "type": "contact", "select": True})

    async def room(self, jid):
        """Shows a room that it is in."""
        await self.act(WINDOW, "add-group-chat", [self.account, jid, "select"])

    async def join(self, jid):
        """Enters a room that it was not in."""
        await self.room(jid)
        await self.desktop.press("Join")

    async def kick(self, nick):
        """Out of the room that it shows."""
        await self.act(WINDOW, "muc-kick", nick)
        await self.desktop.press("Kick")

    async def say(self, text):
        await self.desktop.do("write", text=text)
        await self.act(WINDOW, "send-message")

    async def upload(self, file):
        """In the chat that it shows; asked whether it should be sent, it says so."""
        await self.act(WINDOW, "send-file-httpupload", [file.as_uri()])
        await self.desktop.press("Send Files")

    async def block(self, jid):
        """Or the other way about, if it is blocked."""
        await self.act(PATH, f"{self.account}-block-contact", jid)

    async def block_list(self):
        await self.act(PATH, f"{self.account}-blocking", self.account)
