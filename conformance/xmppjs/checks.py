"""xmpp.js, over TCP and WebSocket: SASL2 with Bind 2 in one round, with slixmpp on the other side."""

import json
import shutil
from pathlib import Path

from breaks import (
    COUNT,
    PART,
    Wire,
    acknowledged,
    another,
    come_back,
    complete,
    gone,
    heard,
    own_server,
    printed,
    resumable,
    speak,
    tell,
    waiting,
)
from check import Skip, check, equal, expect
from program import Program
from xmpp import login

SCRIPT = Path(__file__).with_name("client.mjs")


async def xmppjs(case, account, scheme, ca=None, wire=None):
    """With a wire, it comes back when its connection is lost."""
    server = case.server
    folder = server.work / "npm"
    if shutil.which("node") is None or not (folder / "node_modules/@xmpp/client").exists():
        raise Skip("no Node.js here")
    localpart, _, domain = account.address.partition("@")
    service = f"{scheme}://{server.host}:{(wire or server).port}"
    service += "/xmpp-websocket" if scheme == "wss" else ""
    command = ["node", SCRIPT, folder, service, domain, localpart, account.password]
    command += ["stay"] if wire else []
    return await Program.start(case, command, {"NODE_EXTRA_CA_CERTS": ca or server.ca})


@check("xmppjs", "STARTTLS, then SASL2 with Bind 2 and stream management in one round")
async def sasl2_bind2(case):
    account = await case.account("romeo")
    program = await xmppjs(case, account, "xmpp")
    success = await program.line("received <success")
    for part in ("urn:xmpp:bind:0", "enabled xmlns=\"urn:xmpp:sm:3\""):
        expect(part in success, f"no {part}: {success}")
    online = (await program.line("online")).split()[-1]
    expect(online.startswith(f"{account.address}/"), f"address: {online}")


@check("xmppjs", "a wrong CA: it refuses the server")
async def wrong_ca(case):
    program = await xmppjs(case, await case.account("romeo"), "xmpp", ca=case.server.wrong_ca)
    await program.line("UNABLE_TO_VERIFY_LEAF_SIGNATURE")


@check("xmppjs", "a wrong password is refused")
async def wrong_password(case):
    account = await case.account("romeo")
    account.password = "wrong"
    program = await xmppjs(case, account, "xmpp")
    equal((await program.line("refused")).split()[-1], "not-authorized", "condition")


@check("xmppjs", "chat both ways")
async def chat(case):
    account = await case.account("romeo")
    juliet = await login(case, await case.account("juliet"))
    program = await xmppjs(case, account, "xmpp")
    await program.line("online")
    body = "what light through <yonder> window & door?"
    await program.send(json.dumps({"to": juliet.boundjid.bare, "body": body}))
    message = await juliet.message(body)
    juliet.send_message(message["from"], "ay me", mtype="chat")
    await program.line(f"message {juliet.boundjid.full} ay me")


@check("xmppjs", "WebSocket: SASL2 with Bind 2, chat both ways; it leaves cleanly")
async def websocket(case):
    account = await case.account("romeo")
    juliet = await login(case, await case.account("juliet"))
    program = await xmppjs(case, account, "wss")
    success = await program.line("received <success")
    expect("urn:xmpp:bind:0" in success, f"no Bind 2: {success}")
    await program.line("online")
    body = "what light through <yonder> window & door?"
    await program.send(json.dumps({"to": juliet.boundjid.bare, "body": body}))
    message = await juliet.message(body)
    juliet.send_message(message["from"], "ay me", mtype="chat")
    await program.line(f"message {juliet.boundjid.full} ay me")
    equal(await program.ended(), 0, "exit status")


@check("xmppjs", "what was sent while it was away; it leaves cleanly")
async def offline(case):
    account = await case.account("romeo")
    juliet = await login(case, await case.account("juliet"))
    juliet.send_message(account.address, "come back", mtype="chat")
    await juliet["xep_0199"].ping(timeout=15)
    program = await xmppjs(case, account, "xmpp")
    await program.line("come back")
    equal(await program.ended(), 0, "exit status")


@check("xmppjs", "cut in a burst, it resumes in one round: everything comes once and in order, both ways")
async def cut(case):
    await cut_in_a_burst(case, "xmpp")


@check("xmppjs", "WebSocket: cut in a burst, it resumes: everything comes once and in order, both ways")
async def websocket_cut(case):
    await cut_in_a_burst(case, "wss")


async def cut_in_a_burst(case, scheme):
    wire = await Wire.start(case)
    account = await case.account("romeo")
    juliet = await resumable(case, await case.account("juliet"))
    program = await xmppjs(case, account, scheme, wire=wire)
    await program.line("online")
    for begin in range(0, COUNT, PART):
        numbers = range(begin, begin + PART)
        await speak(juliet, account.address, numbers)
        await tell(program, juliet.boundjid.bare, numbers)
        if begin + PART < COUNT:
            wire.cut()
            await program.until("resumed")
    complete(await printed(program), "romeo")
    complete(await heard(juliet), "juliet")


@check("xmppjs", "the server is restarted in a burst: everything comes once and in order, both ways", apart=True)
async def restart(case):
    server = await own_server(case)
    wire = await Wire.start(case)
    account = await case.account("romeo")
    juliet = await resumable(case, await case.account("juliet"))
    program = await xmppjs(case, account, "xmpp", wire=wire)
    await program.line("online")
    await speak(juliet, account.address, range(COUNT))
    await tell(program, juliet.boundjid.bare, range(COUNT))
    equal(await another(server, wire, server.stop()), 0, "exit status")
    await gone(juliet)
    await come_back(juliet, server)
    complete(await printed(program), "romeo")
    complete(await heard(juliet), "juliet")


@check("xmppjs", "the server is killed in a burst: what it has acknowledged comes, and what is sent again comes once", apart=True)
async def killed(case):
    server = await own_server(case)
    wire = await Wire.start(case)
    account, peer = await case.account("romeo"), await case.account("juliet")
    juliet = await resumable(case, peer)
    program = await xmppjs(case, account, "xmpp", wire=wire)
    await program.line("online")
    await speak(juliet, account.address, range(PART))
    await tell(program, juliet.boundjid.bare, range(COUNT))
    await acknowledged(juliet)
    await another(server, wire, server.kill())
    await gone(juliet)
    came = waiting(juliet)
    juliet = await resumable(case, peer)
    await speak(juliet, account.address, range(PART, COUNT))
    complete(await printed(program), "romeo")
    complete(await heard(juliet, came), "juliet")
