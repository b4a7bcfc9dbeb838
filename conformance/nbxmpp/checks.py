"""nbxmpp, on which Gajim stands, with slixmpp on the other side."""

import json
from pathlib import Path

from check import check, equal, expect
from program import Program
from xmpp import befriend, login

SCRIPT = Path(__file__).with_name("client.py")


async def nbxmpp(case, account, way="START TLS", ca=None):
    server = case.server
    host = f"{server.host}:{server.port}"
    # Of Debian, with the Python of Debian.
    command = ["/usr/bin/python3", SCRIPT, ca or server.ca, host, way, account.address, account.password]
    return await Program.start(case, command)


@check("nbxmpp", "STARTTLS and direct TLS verified by the CA; stream management; it leaves cleanly")
async def logging_in(case):
    account = await case.account("romeo")
    for way in ("START TLS", "DIRECT TLS"):
        program = await nbxmpp(case, account, way)
        online = await program.line("online")
        equal(online, f"online {account.address}/gajim with stream management", way)
        await program.line("available")
        equal(await program.ended(), 0, f"exit status; {program.seen}")


@check("nbxmpp", "a wrong CA: it refuses the server")
async def wrong_ca(case):
    program = await nbxmpp(case, await case.account("romeo"), ca=case.server.wrong_ca)
    expect("BAD_CERTIFICATE" in await program.line("ended"), f"said: {program.seen}")


@check("nbxmpp", "a wrong password is refused")
async def wrong_password(case):
    account = await case.account("romeo")
    account.password = "wrong"
    program = await nbxmpp(case, account)
    equal(await program.line("ended"), "ended StreamError.SASL not-authorized", "end")


@check("nbxmpp", "the roster; chat both ways")
async def chat(case):
    account = await case.account("romeo")
    juliet = await login(case, await case.account("juliet"))
    other = await login(case, account, priority=-1)
    await befriend(juliet, other)
    program = await nbxmpp(case, account)
    await program.line(f"contact {juliet.boundjid.bare} None both")
    await program.send(json.dumps({"to": juliet.boundjid.bare, "body": "it is the <east> & more"}))
    message = await juliet.message("it is the <east> & more")
    juliet.send_message(message["from"], "what's in a name?", mtype="chat")
    await program.line(f"message {juliet.boundjid.full} sent now what's in a name?")


@check("nbxmpp", "what was sent while it was away, with the time")
async def offline(case):
    account = await case.account("romeo")
    juliet = await login(case, await case.account("juliet"))
    for number in (1, 2):
        juliet.send_message(account.address, f"letter {number}", mtype="chat")
    await juliet["xep_0199"].ping(timeout=15)
    program = await nbxmpp(case, account)
    for number in (1, 2):
        await program.line(f"message {juliet.boundjid.full} sent before letter {number}")
