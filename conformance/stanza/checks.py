"""stanza (stanza.io) over WebSocket and BOSH, with slixmpp on the other side."""

import json
import shutil
from pathlib import Path

from breaks import COUNT, PART, Wire, complete, heard, printed, resumable, speak, tell
from check import Skip, check, equal
from program import Program
from xmpp import login

SCRIPT = Path(__file__).with_name("client.mjs")

# Where each of its transports is.
PATHS = {"websocket": "wss://{}:{}/xmpp-websocket", "bosh": "https://{}:{}/http-bind"}


async def stanza(case, account, kind, wire=None):
    """With a wire, it comes back when its connection is lost."""
    server = case.server
    folder = server.work / "npm"
    if shutil.which("node") is None or not (folder / "node_modules/stanza").exists():
        raise Skip("no Node.js here")
    localpart, _, domain = account.address.partition("@")
    service = PATHS[kind].format(server.host, (wire or server).port)
    command = ["node", SCRIPT, folder, kind, service, domain, localpart, account.password]
    command += ["stay"] if wire else []
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


@check("stanza", "WebSocket: cut while much comes, it resumes: everything comes once and in order, both ways")
async def websocket_cut(case):
    wire = await Wire.start(case)
    account = await case.account("romeo")
    juliet = await resumable(case, await case.account("juliet"))
    program = await stanza(case, account, "websocket", wire=wire)
    # It says that it is online before it asks for stream management.
    await program.line("received <enabled")
    await tell(program, juliet.boundjid.bare, range(PART))
    came = await heard(juliet, last=PART - 1)
    # While it writes it is not cut: it waits for that for ever. Nor twice: it forgets what it sent again.
    await speak(juliet, account.address, range(PART))
    wire.cut()
    await program.until("resumed")
    await speak(juliet, account.address, range(PART, COUNT))
    await tell(program, juliet.boundjid.bare, range(PART, COUNT))
    complete(await printed(program), "romeo")
    complete(await heard(juliet, came), "juliet")
