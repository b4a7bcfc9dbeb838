"""Rooms across servers: ours are used by their people and theirs by ours."""

import asyncio
import hashlib
import xml.etree.ElementTree as ET

import slixmpp
from slixmpp.exceptions import IqError, IqTimeout

from check import Wrong, equal, expect
from neighbours import OURS, THEIRS, Neighbours, nodes_of, rooms_of, with_each
from xmpp import PATIENCE, condition


async def enter(client, room, nick):
    """What it is shown: who is there, and what was said."""
    _, _, others, history = await client["xep_0045"].join_muc_wait(room, nick, timeout=PATIENCE)
    return {other["from"].resource for other in others}, [message["body"] for message in history]


async def refused(guest, room):
    """Not all rooms say in the error what was refused, by which slixmpp would know it."""
    join = guest.make_presence(pto=f"{room}/guest")
    join.enable("muc_join")
    join.send()
    error = await guest.presence(f"{room}/guest", "error")
    equal(error["error"]["condition"], "forbidden", "condition")


async def made(owner, room):
    """A room that stays when nobody is in it."""
    await enter(owner, room, "owner")
    form = await owner["xep_0045"].get_room_config(room)
    form["type"] = "submit"
    form.get_fields()["muc#roomconfig_persistentroom"]["value"] = True
    await owner["xep_0045"].set_room_config(room, form)


async def say(sender, receivers, room, body):
    sender.send_message(room, body, mtype="groupchat")
    for receiver in receivers:
        message = await receiver.message(body)
        equal((message["from"].bare, message["type"]), (str(room), "groupchat"), "from and type")


async def reached(client, rooms):
    """Their server does not try at once what was in vain a moment ago, and puts out whom it does not reach."""
    for _ in range(PATIENCE):
        try:
            return await ping(client, rooms).send(timeout=1)
        except IqError:
            return None
        except IqTimeout:
            pass
    raise Wrong(f"{rooms} does not reach {client.boundjid.bare}")


def ping(client, to):
    iq = client.Iq()
    iq["type"], iq["to"] = "get", to
    iq.enable("ping")
    return iq


async def shared(owner, guest, room):
    """Two people of two servers in a room: they talk, and who keeps order is obeyed."""
    await made(owner, room)
    there, _ = await enter(guest, room, "guest")
    equal(there, {"owner", "guest"}, f"occupants of {room}")
    for number, sender in enumerate((owner, guest, owner)):
        await say(sender, (owner, guest), room, f"{number} in {room}")
    order = owner["xep_0045"]
    await order.set_role(room, "guest", "none", reason="Avaunt")
    for client in (owner, guest):
        gone = await client.presence(f"{room}/guest", "unavailable")
        expect(307 in gone["muc"]["status_codes"], f"no kick at {client.boundjid}: {gone}")
    await enter(guest, room, "guest")
    await order.set_affiliation(room, "outcast", jid=guest.boundjid.bare)
    for client in (owner, guest):
        gone = await client.presence(f"{room}/guest", "unavailable")
        expect(301 in gone["muc"]["status_codes"], f"no ban at {client.boundjid}: {gone}")
    await refused(guest, room)
    await order.set_affiliation(room, "member", jid=guest.boundjid.bare)
    _, history = await enter(guest, room, "guest")
    equal([body for body in history if body], [f"{number} in {room}" for number in range(3)], "history")


@with_each("rooms: theirs are used by our people and ours by theirs, who keeps order is obeyed by all")
async def rooms(case, kind):
    here = await Neighbours.settle(case, kind, rooms=True)
    romeo, juliet = await here.people()
    await shared(romeo, juliet, slixmpp.JID(f"cave@{rooms_of(OURS)}"))
    await shared(juliet, romeo, slixmpp.JID(f"heath@{rooms_of(THEIRS)}"))


@with_each("a kill in the middle: who comes back finds in both rooms what was said, and who is no occupant any more hears it")
async def over_a_kill(case, kind):
    here = await Neighbours.settle(case, kind, rooms=True)
    romeo, juliet = await here.people()
    ours, theirs = slixmpp.JID(f"cave@{rooms_of(OURS)}"), slixmpp.JID(f"heath@{rooms_of(THEIRS)}")
    await made(romeo, ours)
    await made(juliet, theirs)
    await enter(juliet, ours, "guest")
    await enter(romeo, theirs, "guest")
    for room in (ours, theirs):
        await say(romeo, (romeo, juliet), room, f"before, in {room}")
    here.own.process.kill()
    await here.own.process.wait()
    await romeo.over()
    juliet.send_message(theirs, "he is away", mtype="groupchat")
    await juliet.message("he is away")
    await here.own.serve()
    romeo = await here.romeo()
    await reached(romeo, rooms_of(THEIRS))
    # Not all rooms let in again who is there by their account.
    romeo.send_presence(pto=f"{theirs}/guest", ptype="unavailable")
    for room, nick, said in ((ours, "owner", 1), (theirs, "guest", 2)):
        _, history = await enter(romeo, room, nick)
        equal([body for body in history if body], [f"before, in {room}", "he is away"][:said], f"history of {room}")
    # She is told; a ping of herself says it too (XEP-0410), and she enters again.
    gone = await juliet.presence(f"{ours}/guest", "unavailable")
    expect({110, 332} <= set(gone["muc"]["status_codes"]), f"status codes: {gone}")
    equal(condition(await juliet.request(ping(juliet, f"{ours}/guest"))), "not-acceptable", "a ping of who is no occupant")
    _, history = await enter(juliet, ours, "guest")
    equal([body for body in history if body], [f"before, in {ours}"], "history")
    for room in (ours, theirs):
        await say(romeo, (romeo, juliet), room, f"after, in {room}")


WATCH = """
[modules.room_watch]
silence = "2s"
rejoin_pause = "1s"
"""


@with_each("theirs is killed and knows its occupants no more: ours brings back who asked for it, and tells who did not")
async def brought_back(case, kind):
    here = await Neighbours.settle(case, kind, rooms=True, more=WATCH)
    romeo, juliet = await here.people()
    paris = await here.enter(here.own, await here.own.new_account("paris", OURS))
    theirs = slixmpp.JID(f"heath@{rooms_of(THEIRS)}")
    await made(juliet, theirs)
    here.peer.noted()
    join = romeo.make_presence(pto=f"{theirs}/romeo", pshow="away")
    join.enable("muc_join")
    join.xml.find("{http://jabber.org/protocol/muc}x").append(ET.Element("{waxwing:rejoin:0}rejoin"))
    join.send()
    await romeo.presence(f"{theirs}/romeo")
    await enter(paris, theirs, "paris")
    await say(juliet, (romeo, paris), theirs, "before")
    await here.peer.kill()
    await juliet.over()
    for client in (romeo, paris):
        while not client.presences.empty():
            client.presences.get_nowait()
    await here.peer.start()
    # He hears nothing but that he enters.
    await romeo.presence(f"{theirs}/romeo")
    gone = await paris.presence(f"{theirs}/paris", "unavailable")
    expect({110, 333} <= set(gone["muc"]["status_codes"]), f"status codes: {gone}")
    juliet = await here.juliet()
    others, _ = await enter(juliet, theirs, "owner")
    equal(others, {"romeo", "owner"}, "occupants")
    await say(juliet, (romeo, juliet), theirs, "after")
    await say(romeo, (romeo, juliet), theirs, "and back")


LISTS = """
[modules.rtbl]
lists = ["{service} {node}"]
"""


@with_each("a block list in real time that theirs keeps: whom it names goes out of our rooms and stays out until it is taken off")
async def block_list(case, kind):
    service, node = nodes_of(THEIRS), "muc_bans_sha256"
    here = await Neighbours.settle(case, kind, rooms=True, nodes=True, more=LISTS.format(service=service, node=node))
    romeo, juliet = await here.people()
    paris = await here.enter(here.peer, await here.peer.new_account("paris"))
    room = slixmpp.JID(f"tomb@{rooms_of(OURS)}")
    await made(romeo, room)
    for guest, nick in ((juliet, "juliet"), (paris, "paris")):
        await enter(guest, room, nick)
    nodes = juliet["xep_0060"]
    named = hashlib.sha256(paris.boundjid.bare.encode()).hexdigest()
    await nodes.create_node(service, node, timeout=PATIENCE)
    await nodes.publish(service, node, id=named, payload=report(), timeout=PATIENCE)
    for client in (paris, romeo, juliet):
        gone = await client.presence(f"{room}/paris", "unavailable")
        expect(301 in gone["muc"]["status_codes"], f"not put out at {client.boundjid}: {gone}")
    await refused(paris, room)
    await say(juliet, (romeo, juliet), room, "O happy dagger")
    await nodes.retract(service, node, named, notify=True, timeout=PATIENCE)
    await let_in(paris, room)


def report():
    return ET.Element("{urn:xmpp:reporting:1}report", reason="urn:xmpp:reporting:spam")


async def let_in(guest, room):
    """It enters as soon as the service has said so."""
    for _ in range(PATIENCE):
        join = guest.make_presence(pto=f"{room}/guest")
        join.enable("muc_join")
        join.send()
        answer = await guest.find(guest.presences, lambda p: p["from"] == f"{room}/guest", "an answer")
        if answer._get_attr("type") != "error":
            return
        await asyncio.sleep(0.5)
    raise Wrong(f"{guest.boundjid.bare} is still on the list")
