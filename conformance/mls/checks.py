"""Clients on openmls and mls-rs share groups through a server that is killed meanwhile; the program beside this file."""

import asyncio
import json
import re

from breaks import own_server
from check import check, equal, expect
from people import online
from program import Program
from xmpp import PATIENCE, login

# How long a group may take on a loaded machine.
LIMIT = 360
# What is shown by clients that do not know MLS.
FALLBACK = "A sealed letter: this client cannot open it."


async def start(case, room, *, accounts, devices, members, rounds, kills=(), seed=1, external=False):
    """The program, when it has made the room; without one the group's home is the first account."""
    everybody = [await case.account("monk") for _ in range(accounts)]
    running = await Program.start(case, [case.server.binary.parent / "waxwing-mls"])
    what = {
        "host": case.server.host,
        "port": case.server.port,
        "ca": str(case.server.ca),
        "external": external,
        "room": room and f"{room}@conference.{case.server.domain}",
        "accounts": [(account.address, account.password) for account in everybody],
        "devices": devices,
        "members": members,
        "rounds": rounds,
        "kills": list(kills),
        "seed": seed,
    }
    await running.send(json.dumps(what))
    await running.line("open")
    return running


async def end(running):
    """What it amounted to."""
    said = await running.line_if(lambda line: line.startswith(("done", "wrong")), "the end of the play", LIMIT)
    expect(said.startswith("done"), said)
    return {name: int(value) for name, value in re.findall(r"(\w+): (\d+)", said)}


async def play(case, room, *, kills=(), **script):
    """The server is killed in these rounds."""
    running = await start(case, room, kills=kills, **script)
    await running.send("go")
    for _ in kills:
        said = await running.line_if(lambda line: line.startswith(("kill", "wrong")), "a round with a kill", LIMIT)
        equal(said, "kill", "in a round with a kill")
        await case.server.kill()
        await case.server.serve()
        await running.send(case.server.port)
    return await end(running)


@check("mls", "groups of two on openmls and mls-rs agree, whatever they do at once", limit=LIMIT)
async def two(case):
    for seed in range(3):
        done = await play(case, f"two{seed}", accounts=3, devices=2, members=2, rounds=8, seed=seed)
        expect(done["read"] > 0, f"nobody read anything: {done}")


@check("mls", "ten members, the server killed three times: all end in one epoch, nothing lost, nothing read by others",
       apart=True, limit=LIMIT)
async def ten(case):
    await own_server(case)
    done = await play(case, "ten", accounts=6, devices=3, members=10, rounds=12, kills=(3, 6, 9))
    expect(done["lost"] > 0 and done["sealed"] > 0, f"nothing happened: {done}")


@check("mls", "people join by themselves on both implementations, while others commit and the server is killed twice",
       apart=True, limit=LIMIT)
async def external(case):
    await own_server(case)
    entered = 0
    for seed in range(2):
        script = {"accounts": 5, "devices": 3, "members": 5, "rounds": 14, "seed": seed}
        done = await play(case, f"open{seed}", kills=(6 + seed,), external=True, **script)
        entered += done["entered"]
    expect(entered > 3, f"only {entered} joined by themselves")


@check("mls", "a conversation without a room: two accounts with devices of each, the home is one of them, the server killed twice",
       apart=True, limit=LIMIT)
async def home(case):
    await own_server(case)
    done = await play(case, None, accounts=2, devices=4, members=4, rounds=10, kills=(3, 7))
    expect(done["read"] > 0 and done["lost"] > 0, f"nothing happened: {done}")


@check("mls", "two hundred members, the server killed once", apart=True, limit=LIMIT)
async def two_hundred(case):
    await own_server(case)
    done = await play(case, "many", accounts=54, devices=4, members=200, rounds=2, kills=(1,))
    expect(done["members"] > 180 and done["lost"] > 0, f"too few: {done}")
    listed = await case.server.admin("upload", "list", case.server.domain)
    expect("welcome.mls" in listed, f"no welcome message was uploaded: {listed}")


@check("mls", "slixmpp and Profanity in the room of a group see the fallback, write, and are heard", limit=LIMIT)
async def beside(case):
    room = f"mixed@conference.{case.server.domain}"
    running = await start(case, "mixed", accounts=3, devices=2, members=3, rounds=8)
    juliet = await login(case, await case.account("juliet"), plugins=("xep_0045", "xep_0380"))
    await juliet["xep_0045"].join_muc_wait(room, "juliet", timeout=PATIENCE)
    terminal = await online(case, await case.account("romeo"))
    terminal.type(f"/join {room} nick romeo")
    await terminal.sees("You have joined the room as romeo")
    await running.send("go")
    sealed = await juliet.message(FALLBACK)
    equal(sealed["eme"]["namespace"], "urn:waxwing:mls:0", "encryption")
    expect(sealed["type"] == "groupchat" and sealed["from"].resource, f"not of an occupant: {sealed}")
    await terminal.sees(FALLBACK)
    juliet.send_message(room, "what light is light?", mtype="groupchat")
    equal((await juliet.message("what light is light?"))["from"].resource, "juliet", "nickname")
    await terminal.sees("what light is light?")
    terminal.type("unless to think that she is by")
    equal((await juliet.message("unless to think that she is by"))["from"].resource, "romeo", "nickname")
    done = await end(running)
    expect(done["texts"] > 0, f"nothing happened: {done}")
    while not juliet.messages.empty():
        message = juliet.messages.get_nowait()
        expect(message["type"] == "groupchat" and message["body"], f"not for a reader: {message}")


async def sits_down(case, account, device, room):
    """The example, logged in."""
    identity = f"{account.address}/{device}"
    program = case.server.binary.parent / "examples/mls_chat"
    command = [program, identity, f"{case.server.host}:{case.server.port}", room, "--ca", case.server.ca]
    chat = await Program.start(case, command, {"XMPP_PASSWORD": account.password})
    await chat.line(f"{identity} can be added")
    return chat


@check("mls", "the example: create, add, talk, another device, two commit at once, away and back, remove, leave", limit=LIMIT)
async def example(case):
    room = f"letters@conference.{case.server.domain}"
    friar, nurse = await case.account("friar"), await case.account("nurse")
    cell, house = await sits_down(case, friar, "cell", room), await sits_down(case, nurse, "house", room)
    await cell.send("/create")
    await cell.line("alone in a new group")
    await cell.send(f"/add {nurse.address}")
    await cell.line("epoch 1 has 2 members")
    await house.line("you are one of 2 members")
    await house.send("I would have stay'd here all the night")
    await cell.line(f"{nurse.address}/house: I would have stay'd here all the night")
    # A device that was not there yet when the account was added.
    street = await sits_down(case, nurse, "street", room)
    await house.send(f"/add {nurse.address}")
    await street.line("you are one of 3 members")
    await cell.line("epoch 2 has 3 members")
    await asyncio.gather(cell.send("/update"), house.send("/update"))
    for chat in (cell, house, street):
        await chat.line("epoch 4 has 3 members")
    # What was said and done while it was away.
    await street.send("/away")
    await cell.send("hear good counsel")
    await house.line("hear good counsel")
    await cell.send("/update")
    await house.line("epoch 5 has 3 members")
    await street.send("/back")
    await street.line(f"{friar.address}/cell: hear good counsel")
    await street.line("epoch 5 has 3 members")
    await cell.send(f"/remove {nurse.address}/street")
    await street.line("you are no member any more")
    await house.line("epoch 6 has 2 members")
    await house.send("/leave")
    await cell.line("somebody wishes to leave")
    await cell.send("/update")
    await house.line("you are no member any more")
    await cell.send("/who")
    await cell.line(f"epoch 7: {friar.address}/cell")
