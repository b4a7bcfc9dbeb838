"""nbxmpp, on which Gajim stands, with slixmpp on the other side."""

import json
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
)
from check import check, equal, expect
from program import Program
from xmpp import befriend, login

SCRIPT = Path(__file__).with_name("client.py")


async def nbxmpp(case, account, way="START TLS", ca=None, wire=None):
    """With a wire, it comes back when its connection is lost."""
    server = case.server
    host = f"{server.host}:{(wire or server).port}"
    # Of Debian, with the Python of Debian.
    command = ["/usr/bin/python3", SCRIPT, ca or server.ca, host, way, account.address, account.password]
    command += ["stay"] if wire else []
    return await Program.start(case, command)


@check("nbxmpp", "STARTTLS and direct TLS verified by the CA; stream management; it leaves cleanly")
async def logging_in(case):
    account = await case.account("romeo")
    for way in ("START TLS", "DIRECT TLS"):
        program = await nbxmpp(case, account, way)
        online = await program.line("online")
        equal(online, f"online {account.address}/gajim with stream management", way)
        await program.line("is available")
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


@check("nbxmpp", "carbons: what another device of the account sends and gets")
async def carbons(case):
    account = await case.account("romeo")
    juliet = await login(case, await case.account("juliet"))
    phone = await login(case, account)
    program = await nbxmpp(case, account)
    await program.line("is available")
    await program.send(json.dumps({"do": "carbons"}))
    await program.line("carbons")
    # Answered after what was asked before.
    await program.send(json.dumps({"to": phone.boundjid.full, "body": "there?"}))
    await phone.message("there?")
    phone.send_message(juliet.boundjid.full, "my bounty is as boundless as the sea", mtype="chat")
    await program.line(f"message {phone.boundjid.full} as carbon sent my bounty is as boundless as the sea")
    await juliet.message()
    juliet.send_message(phone.boundjid.full, "my love as deep", mtype="chat")
    await program.line(f"message {juliet.boundjid.full} as carbon received my love as deep")


@check("nbxmpp", "the archive of an absence, page by page")
async def archive(case):
    account = await case.account("romeo")
    juliet = await login(case, await case.account("juliet"))
    phone = await login(case, account)
    for number in range(25):
        juliet.send_message(account.address, str(number), mtype="chat")
        await phone.message(str(number))
    program = await nbxmpp(case, account)
    await program.line("is available")
    await program.send(json.dumps({"do": "archive"}))
    complete(await printed(program, 24), "romeo", 25)
    await program.line("page last")
    equal(program.seen.count("page of several"), 2, "pages before the last")


@check("nbxmpp", "cut in a burst, it resumes: everything comes once and in order, both ways")
async def cut(case):
    wire = await Wire.start(case)
    account = await case.account("romeo")
    juliet = await resumable(case, await case.account("juliet"))
    program = await nbxmpp(case, account, wire=wire)
    await program.line("is available")
    for begin in range(0, COUNT, PART):
        numbers = range(begin, begin + PART)
        await speak(juliet, account.address, numbers)
        await tell(program, juliet.boundjid.bare, numbers)
        if begin + PART < COUNT:
            wire.cut()
            await program.until("resumed")
    complete(await printed(program), "romeo")
    complete(await heard(juliet), "juliet")


@check("nbxmpp", "the server is restarted in a burst: what was sent to it is complete", apart=True)
async def restart(case):
    server = await own_server(case)
    wire = await Wire.start(case)
    account = await case.account("romeo")
    juliet = await resumable(case, await case.account("juliet"))
    program = await nbxmpp(case, account, wire=wire)
    await program.line("is available")
    await speak(juliet, account.address, range(COUNT))
    equal(await another(server, wire, server.stop()), 0, "exit status")
    await gone(juliet)
    await come_back(juliet, server)
    complete(await printed(program), "romeo")


@check("nbxmpp", "the server is killed in a burst: what it has acknowledged comes", apart=True)
async def killed(case):
    server = await own_server(case)
    wire = await Wire.start(case)
    account, sender = await case.account("romeo"), await case.account("juliet")
    juliet = await resumable(case, sender)
    program = await nbxmpp(case, account, wire=wire)
    await program.line("is available")
    await speak(juliet, account.address, range(PART))
    await acknowledged(juliet)
    await another(server, wire, server.kill())
    await gone(juliet)
    juliet = await resumable(case, sender)
    await speak(juliet, account.address, range(PART, COUNT))
    complete(await printed(program), "romeo")
