"""The page of an invitation in headless Chromium, on a phone and on a desktop, to an account that works."""

import re
import shutil
from pathlib import Path

from check import Skip, check, equal
from program import Program
from server import Account
from spki import key_hash
from xmpp import login

SCRIPT = Path(__file__).with_name("client.mjs")
PASSWORD = "a rose by any other name"


async def walk(case, name, width, height, mobile):
    server = case.server
    folder, chromium = server.work / "npm", shutil.which("chromium")
    if shutil.which("node") is None or not (folder / "node_modules/puppeteer-core").exists():
        raise Skip("no Node.js here")
    if chromium is None:
        raise Skip("no Chromium here")
    printed = await server.admin("invite", server.domain)
    link = re.search(r"https://\S+/invite/\S+", printed)[0]
    picture = server.work / f"invitation-{name}"
    command = ["node", SCRIPT, folder, chromium, key_hash(server), link, name, PASSWORD, picture]
    program = await Program.start(case, [*command, width, height, mobile])
    await program.line("made", patience=45)
    equal(await program.ended(), 0, "exit status")
    account = Account(f"{name}@{server.domain}", PASSWORD)
    server.accounts.append(account)
    client = await login(case, account)
    equal(client.boundjid.bare, account.address, "who logged in")


@check("invitation", "on a phone: the page fits, the form makes an account, and that logs in", limit=120)
async def phone(case):
    await walk(case, "phone", 390, 844, "mobile")


@check("invitation", "on a desktop: the page fits, the form makes an account, and that logs in", limit=120)
async def desktop(case):
    await walk(case, "desktop", 1280, 800, "desktop")
