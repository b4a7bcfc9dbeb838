"""stanza (stanza.io) over WebSocket and BOSH, with slixmpp on the other side."""

import json
import shutil
from pathlib import Path

from check import Skip, check, equal
from program import Program
from xmpp import login

SCRIPT = Path(__file__).with_name("client.mjs")

# Where each of its transports is.
PATHS = {"websocket": "wss://{}:{}/xmpp-websocket", "bosh": "https://{}:{}/http-bind"}


async def stanza(case, account, kind):
    server = case.server
    folder = server.work / "npm"
    if shutil.which("node") is None or not (folder / "node_modules/stanza").exists():
        raise Skip("no Node.js here")
    localpart, _, domain = account.address.partition("@")
    service = PATHS[kind].format(server.host, server.port)
    command = ["node", SCRIPT, folder, kind, service, domain, localpart, account.password]
    return await Program.start(case, command, {"NODE_EXTRA_CA_CERTS": server.ca})


async def talk(case, kind):
    account = await case.account("romeo")
    juliet = await login(case, await case.account("juliet"))
    program = await stanza(case, account, kind)
    await program.line("online")
    body = "what light through <yonder> window & door?"
    await program.send(json.dumps({"to": juliet.boundjid.bare, "body": body}))
    message = await juliet.message(body)
    juliet.send_message(message["from"], "ay me", mtype="chat")
    await program.line(f"message {juliet.boundjid.full} ay me")
    equal(await program.ended(), 0, "exit status")


@check("stanza", "WebSocket: chat both ways; it leaves cleanly")
async def websocket(case):
    await talk(case, "websocket")


@check("stanza", "BOSH: chat both ways; it leaves cleanly")
async def bosh(case):
    await talk(case, "bosh")


@check("stanza", "WebSocket: a wrong password is refused")
async def wrong_password(case):
    account = await case.account("romeo")
    account.password = "wrong"
    program = await stanza(case, account, "websocket")
    await program.line("refused")
