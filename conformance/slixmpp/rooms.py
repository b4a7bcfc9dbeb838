"""Rooms, as xep_0045 of slixmpp speaks with them."""

import slixmpp
from slixmpp.exceptions import IqError, PresenceError

from check import Wrong, check, equal, expect
from server import Server
from terminal import own_folder
from xmpp import PATIENCE, login

PLUGINS = ("xep_0045", "xep_0004", "xep_0313", "xep_0059")


async def member(case, name, account=None):
    return await login(case, account or await case.account(name), plugins=PLUGINS)


async def enter(client, room, nick, **more):
    return await client["xep_0045"].join_muc_wait(room, nick, timeout=PATIENCE, **more)


async def made(client, room, nick, **fields):
    """A room of this client's, with these options."""
    await enter(client, room, nick)
    form = await client["xep_0045"].get_room_config(room)
    form["type"] = "submit"
    for name, value in fields.items():
        form.get_fields()[f"muc#roomconfig_{name}"]["value"] = value
    await client["xep_0045"].set_room_config(room, form)


@check("slixmpp", "a room is made and configured, two talk, and who comes later reads it")
async def rooms(case):
    room = slixmpp.JID(f"talk@conference.{case.server.domain}")
    crone, hag = await member(case, "crone"), await member(case, "hag")
    await made(crone, room, "firstwitch", persistentroom=True, roomname="A Dark Cave")
    presence, subject, others, history = await enter(hag, room, "thirdwitch")
    equal({str(other["from"].resource) for other in others}, {"firstwitch", "thirdwitch"}, "occupants")
    equal((subject["subject"] or "", history), ("", []), "subject and history")
    hag.send_message(room, "Harpier cries: 'tis time", mtype="groupchat")
    for client in (crone, hag):
        message = await client.message("Harpier cries: 'tis time")
        equal((message["from"].resource, message["type"]), ("thirdwitch", "groupchat"), "from and type")
    crone["xep_0045"].set_subject(room, "Spells")
    late = await member(case, "late")
    while True:
        if (await hag.message())["subject"] == "Spells":
            break
    _, subject, others, history = await enter(late, room, "second")
    equal(subject["subject"], "Spells", "subject")
    equal([message["body"] for message in history], ["Harpier cries: 'tis time"], "history")
    names = {str(other["from"].resource) for other in others}
    equal(names, {"firstwitch", "thirdwitch", "second"}, "occupants")


@check("slixmpp", "moderation: a nickname that is taken, a kick, a ban, members only")
async def moderation(case):
    room = slixmpp.JID(f"order@conference.{case.server.domain}")
    crone, hag = await member(case, "crone"), await member(case, "hag")
    await made(crone, room, "firstwitch")
    try:
        await enter(hag, room, "FirstWitch")
        raise Wrong("two have one nickname")
    except PresenceError as error:
        equal(error.condition, "conflict", "condition")
    await enter(hag, room, "thirdwitch")
    await crone["xep_0045"].set_role(room, "thirdwitch", "none", reason="Avaunt")
    gone = await hag.presence(f"{room}/thirdwitch", "unavailable")
    expect(307 in gone["muc"]["status_codes"], f"no kick: {gone}")
    await enter(hag, room, "thirdwitch")
    await crone["xep_0045"].set_affiliation(room, "outcast", jid=hag.boundjid.bare)
    gone = await hag.presence(f"{room}/thirdwitch", "unavailable")
    expect(301 in gone["muc"]["status_codes"], f"no ban: {gone}")
    try:
        await enter(hag, room, "thirdwitch")
        raise Wrong("who is banned entered")
    except PresenceError as error:
        equal(error.condition, "forbidden", "condition")
    banned = await crone["xep_0045"].get_affiliation_list(room, "outcast")
    equal([str(jid) for jid in banned], [hag.boundjid.bare], "banned")
    try:
        await hag["xep_0045"].get_affiliation_list(room, "outcast")
        raise Wrong("who is banned read the list of who is")
    except IqError as error:
        equal(error.condition, "forbidden", "condition")


@check("slixmpp", "a room over kill -9: who comes back finds name, subject, members and messages", apart=True)
async def rooms_restart(case):
    server = Server(case.server.binary, own_folder(case.server.work))
    await server.start()
    case.closing(server.stop)
    case.server = server
    accounts = await case.account("crone"), await case.account("hag")
    room = slixmpp.JID(f"cave@conference.{case.server.domain}")
    crone, hag = await member(case, "crone", accounts[0]), await member(case, "hag", accounts[1])
    await made(crone, room, "firstwitch", persistentroom=True, membersonly=True)
    await crone["xep_0045"].set_affiliation(room, "member", jid=hag.boundjid.bare)
    await enter(hag, room, "thirdwitch")
    for number in range(20):
        hag.send_message(room, f"line {number}", mtype="groupchat")
        await crone.message(f"line {number}")
    case.server.process.kill()
    await case.server.process.wait()
    await case.server.serve()
    hag = await member(case, "hag", accounts[1])
    _, _, _, history = await enter(hag, room, "thirdwitch")
    equal([message["body"] for message in history], [f"line {number}" for number in range(20)], "history")
    page = await hag["xep_0313"].retrieve(jid=room, timeout=PATIENCE)
    found = [m["mam_result"]["forwarded"]["stanza"]["body"] for m in page["mam"]["results"]]
    equal(found, [f"line {number}" for number in range(20)], "archive")
