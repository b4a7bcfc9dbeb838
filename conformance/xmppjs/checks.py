"""xmpp.js: SASL2 with Bind 2 in one round, with slixmpp on the other side."""

import json
import shutil
from pathlib import Path

from check import Skip, check, equal, expect
from program import Program
from xmpp import login

SCRIPT = Path(__file__).with_name("client.mjs")


async def xmppjs(case, account, scheme, ca=None):
    server = case.server
    folder = server.work / "npm"
    if shutil.which("node") is None or not (folder / "node_modules/@xmpp/client").exists():
        raise Skip("no Node.js here")
    localpart, _, domain = account.address.partition("@")
    service = f"{scheme}://{server.host}:{server.port}"
    command = ["node", SCRIPT, folder, service, domain, localpart, account.password]
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


@check("xmppjs", "what was sent while it was away; it leaves cleanly")
async def offline(case):
    account = await case.account("romeo")
    juliet = await login(case, await case.account("juliet"))
    juliet.send_message(account.address, "come back", mtype="chat")
    await juliet["xep_0199"].ping(timeout=15)
    program = await xmppjs(case, account, "xmpp")
    await program.line("come back")
    equal(await program.ended(), 0, "exit status")
