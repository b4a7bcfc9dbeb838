"""Programs of several kinds in one room: what one does all see."""

import xml.etree.ElementTree as ET

import slixmpp

from check import check, equal, expect
from people import Gajim, online
from xmpp import PATIENCE, login

BOOKMARKS = "urn:xmpp:bookmarks:1"
PLUGINS = ("xep_0004", "xep_0045", "xep_0060", "xep_0313", "xep_0059", "xep_0424", "xep_0425")


async def bookmarked(case, account, room, nick):
    """Gajim enters on its own what another client of its account has put down."""
    client = await login(case, account, plugins=PLUGINS)
    conference = ET.Element(f"{{{BOOKMARKS}}}conference", autojoin="true", name="The heath")
    ET.SubElement(conference, f"{{{BOOKMARKS}}}nick").text = nick
    form = client["xep_0004"].make_form(ftype="submit")
    form.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/pubsub#publish-options")
    for name, value in {"persist_items": "true", "max_items": "max", "access_model": "whitelist"}.items():
        form.add_field(var=f"pubsub#{name}", value=value)
    publish = client["xep_0060"].publish
    await publish(account.address, BOOKMARKS, id=str(room), payload=conference, options=form, timeout=PATIENCE)
    await client.close()


async def comes(client, room, nick):
    return await client.presence(f"{room}/{nick}")


@check(
    "together",
    "Gajim, Profanity and slixmpp in one room: each hears each, the subject, who comes and goes, a kick and a ban",
    limit=120.0,
)
async def room(case):
    room = slixmpp.JID(f"heath@conference.{case.server.domain}")
    owner = await login(case, await case.account("crone"), plugins=PLUGINS)
    await owner["xep_0045"].join_muc_wait(room, "crone", timeout=PATIENCE)
    form = await owner["xep_0045"].get_room_config(room)
    form["type"] = "submit"
    form.get_fields()["muc#roomconfig_persistentroom"]["value"] = True
    form.get_fields()["muc#roomconfig_changesubject"]["value"] = True
    await owner["xep_0045"].set_room_config(room, form)

    macbeth = await case.account("macbeth")
    await bookmarked(case, macbeth, room, "macbeth")
    gajim = await Gajim.start(case, macbeth)
    await comes(owner, room, "macbeth")
    banquo = await case.account("banquo")
    profanity = await online(case, banquo)
    profanity.type(f"/join {room} nick banquo")
    await comes(owner, room, "banquo")
    await gajim.room(str(room))

    owner.send_message(room, "when shall we three meet again", mtype="groupchat")
    await gajim.desktop.sees("when shall we three meet again")
    await profanity.sees("when shall we three meet again")
    await gajim.say("so foul and fair a day")
    said = await owner.message("so foul and fair a day")
    equal(said["from"], f"{room}/macbeth", "who said it")
    await profanity.sees("so foul and fair a day")
    profanity.type("how far is it called to Forres")
    said = await owner.message("how far is it called to Forres")
    equal(said["from"], f"{room}/banquo", "who said it")
    await gajim.desktop.sees("how far is it called to Forres")

    profanity.type("/subject set A heath near Forres")
    await owner.find(owner.messages, lambda m: m["subject"] == "A heath near Forres", "the subject")
    await gajim.desktop.sees("A heath near Forres")

    # One who comes later is shown what was said.
    late = await login(case, await case.account("ross"), plugins=PLUGINS)
    _, subject, others, history = await late["xep_0045"].join_muc_wait(room, "ross", timeout=PATIENCE)
    equal(subject["subject"], "A heath near Forres", "subject")
    equal({other["from"].resource for other in others}, {"crone", "macbeth", "banquo", "ross"}, "occupants")
    wanted = ["when shall we three meet again", "so foul and fair a day", "how far is it called to Forres"]
    equal([message["body"] for message in history], wanted, "history")

    # A moderator with Gajim puts him out; all see it.
    await owner["xep_0045"].set_affiliation(room, "admin", jid=macbeth.address)
    await gajim.kick("ross")
    for client in (owner, late):
        gone = await client.presence(f"{room}/ross", "unavailable")
        expect(307 in gone["muc"]["status_codes"], f"no kick: {gone}")
    await profanity.sees("ross has been kicked from the room")
    await owner["xep_0045"].set_affiliation(room, "outcast", jid=banquo.address)
    gone = await owner.presence(f"{room}/banquo", "unavailable")
    expect(301 in gone["muc"]["status_codes"], f"no ban: {gone}")
    await profanity.sees(f"Banned from {room} by crone")
    await gajim.desktop.sees("banquo")
