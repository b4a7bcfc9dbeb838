"""Converse.js in headless Chromium, with slixmpp on the other side."""

import json
import shutil
from pathlib import Path

from check import Skip, check, equal
from program import Program
from spki import key_hash
from xmpp import login

SCRIPT = Path(__file__).with_name("client.mjs")

# Where each of its transports is.
PATHS = {"websocket": "wss://{}/xmpp-websocket", "bosh": "https://{}/http-bind"}


async def converse(case, account, kind, picture):
    server = case.server
    folder, chromium = server.work / "npm", shutil.which("chromium")
    if shutil.which("node") is None or not (folder / "node_modules/converse.js").exists():
        raise Skip("no Node.js here")
    if chromium is None:
        raise Skip("no Chromium here")
    place = f"{server.domain}:{server.port}"
    service = PATHS[kind].format(place)
    command = ["node", SCRIPT, folder, chromium, key_hash(server), f"https://{place}", kind, service]
    return await Program.start(case, [*command, account.address, account.password, server.work / picture])


async def act(program, name, **what):
    await program.send(json.dumps({"act": name, **what}))


async def talk(case, kind):
    """Log in, chat both ways, a room; what is seen is seen."""
    account = await case.account("romeo")
    juliet = await login(case, await case.account("juliet"))
    program = await converse(case, account, kind, f"converse-{kind}.png")
    await program.line("online", patience=45)
    await act(program, "chat", to=juliet.boundjid.bare, body="what light through yonder window?")
    message = await juliet.message("what light through yonder window?")
    juliet.send_message(message["from"], "ay me", mtype="chat")
    await act(program, "shown", text="ay me")
    await program.line("shown ay me")
    await act(program, "room", room=f"balcony@conference.{case.server.domain}", body="he jests at scars")
    await act(program, "shown", text="he jests at scars")
    await program.line("shown he jests at scars")
    equal(await program.ended(), 0, "exit status")


@check("converse", "WebSocket: log in, chat both ways, a room", limit=120)
async def websocket(case):
    await talk(case, "websocket")


@check("converse", "BOSH: log in, chat both ways, a room", limit=120)
async def bosh(case):
    await talk(case, "bosh")
