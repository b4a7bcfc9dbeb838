"""Programs of several kinds in one room: what one does all see."""

import base64
import hashlib
import xml.etree.ElementTree as ET

import slixmpp

from breaks import Wire, another, own_server
from check import Skip, check, equal, expect, within
from desktop import ROSE, rose
from dino import Dino
from people import OMEMO, Gajim, online
from sealed import equipped, published
from xmpp import PATIENCE, befriend, login

AVATAR = "urn:xmpp:avatar:"
BOOKMARKS = "urn:xmpp:bookmarks:1"
PLUGINS = ("xep_0004", "xep_0045", "xep_0060", "xep_0313", "xep_0059", "xep_0424", "xep_0425")


async def publish(client, node, id, payload, **options):
    form = client["xep_0004"].make_form(ftype="submit")
    form.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/pubsub#publish-options")
    for name, value in options.items():
        form.add_field(var=f"pubsub#{name}", value=value)
    act = client["xep_0060"].publish(client.boundjid.bare, node, id=id, payload=payload, options=form, timeout=PATIENCE)
    await act


async def bookmarked(case, account, room, nick):
    """A client that has put down a room, which others of its account enter on their own."""
    client = await login(case, account, plugins=PLUGINS)
    conference = ET.Element(f"{{{BOOKMARKS}}}conference", autojoin="true", name="The heath")
    ET.SubElement(conference, f"{{{BOOKMARKS}}}nick").text = nick
    await publish(client, BOOKMARKS, str(room), conference, persist_items="true", max_items="max", access_model="whitelist")
    await client.close()


async def made(case, account, room):
    """The owner of a room that stays."""
    owner = await login(case, account, plugins=PLUGINS)
    await owner["xep_0045"].join_muc_wait(room, "crone", timeout=PATIENCE)
    form = await owner["xep_0045"].get_room_config(room)
    form["type"] = "submit"
    form.get_fields()["muc#roomconfig_persistentroom"]["value"] = True
    form.get_fields()["muc#roomconfig_changesubject"]["value"] = True
    await owner["xep_0045"].set_room_config(room, form)
    return owner


async def moderated(moderator, room, message):
    """XEP-0425."""
    iq = moderator.make_iq_set(ito=room)
    id = message.xml.find("{urn:xmpp:sid:0}stanza-id").get("id")
    moderate = ET.SubElement(iq.xml, "{urn:xmpp:message-moderate:1}moderate", id=id)
    ET.SubElement(moderate, "{urn:xmpp:message-retract:1}retract")
    await iq.send(timeout=PATIENCE)


async def comes(client, room, nick):
    return await client.presence(f"{room}/{nick}")


@check(
    "together",
    "Gajim, Dino, Profanity and slixmpp in one room: each hears each, the subject, who comes and goes, what a moderator takes away, a kick and a ban",
    limit=120.0,
)
async def room(case):
    room = slixmpp.JID(f"heath@conference.{case.server.domain}")
    owner = await made(case, await case.account("crone"), room)
    macbeth = await case.account("macbeth")
    await bookmarked(case, macbeth, room, "macbeth")
    gajim = await Gajim.start(case, macbeth)
    await comes(owner, room, "macbeth")
    banquo = await case.account("banquo")
    profanity = await online(case, banquo)
    profanity.type(f"/join {room} nick banquo")
    await comes(owner, room, "banquo")
    await gajim.room(str(room))
    lennox = await case.account("lennox")
    await bookmarked(case, lennox, room, "lennox")
    dino = await Dino.start(case, lennox)
    await comes(owner, room, "lennox")

    owner.send_message(room, "when shall we three meet again", mtype="groupchat")
    await gajim.desktop.sees("when shall we three meet again")
    await profanity.sees("when shall we three meet again")
    await dino.desktop.sees("when shall we three meet again")
    await gajim.say("so foul and fair a day")
    foul = await owner.message("so foul and fair a day")
    equal(foul["from"], f"{room}/macbeth", "who said it")
    await profanity.sees("so foul and fair a day")
    await dino.desktop.sees("so foul and fair a day")
    profanity.type("how far is it called to Forres")
    said = await owner.message("how far is it called to Forres")
    equal(said["from"], f"{room}/banquo", "who said it")
    await gajim.desktop.sees("how far is it called to Forres")
    await dino.say("what are these, so wither'd and so wild")
    said = await owner.message("what are these, so wither'd and so wild")
    equal(said["from"], f"{room}/lennox", "who said it")
    await gajim.desktop.sees("what are these, so wither'd and so wild")
    await profanity.sees("what are these, so wither'd and so wild")

    # What one takes away is gone for all who know of that, and for who comes later.
    await moderated(owner, room, foul)
    await gajim.desktop.sees("This message has been retracted")

    profanity.type("/subject set A heath near Forres")
    await owner.find(owner.messages, lambda m: m["subject"] == "A heath near Forres", "the subject")
    await gajim.desktop.sees("A heath near Forres")

    # One who comes later is shown what was said.
    late = await login(case, await case.account("ross"), plugins=PLUGINS)
    _, subject, others, history = await late["xep_0045"].join_muc_wait(room, "ross", timeout=PATIENCE)
    equal(subject["subject"], "A heath near Forres", "subject")
    equal({other["from"].resource for other in others}, {"crone", "macbeth", "banquo", "lennox", "ross"}, "occupants")
    wanted = ["when shall we three meet again", "how far is it called to Forres", "what are these, so wither'd and so wild"]
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


@check("together", "the server is killed: Gajim and Profanity come back into their room by themselves, Dino once it is started again", apart=True, limit=180.0)
async def over_a_kill(case):
    server = await own_server(case)
    wire = await Wire.start(case)
    room = slixmpp.JID(f"heath@conference.{server.domain}")
    crone = await case.account("crone")
    owner = await made(case, crone, room)
    macbeth, lennox, banquo = [await case.account(name) for name in ("macbeth", "lennox", "banquo")]
    for account, nick in ((macbeth, "macbeth"), (lennox, "lennox")):
        await bookmarked(case, account, room, nick)
    gajim = await Gajim.start(case, macbeth, wire=wire)
    await comes(owner, room, "macbeth")
    dino = await Dino.start(case, lennox, wire=wire)
    await comes(owner, room, "lennox")
    profanity = await online(case, banquo, wire=wire)
    profanity.type("/reconnect 1")
    profanity.type(f"/join {room} nick banquo")
    await comes(owner, room, "banquo")
    await gajim.room(str(room))

    await another(server, wire, server.kill())
    # As the system would: the wire alone holds open what a process that is gone held.
    wire.cut()
    # An end of TLS that nobody announced stops this version of Dino for good: it does not catch the error, and is started again.
    await dino.program.close()
    dino = await Dino.start(case, lennox, wire=wire)
    owner = await login(case, crone, plugins=PLUGINS)
    _, _, others, _ = await owner["xep_0045"].join_muc_wait(room, "crone", timeout=PATIENCE)
    missing = {"macbeth", "lennox", "banquo"} - {other["from"].resource for other in others}

    async def all_there():
        while missing:
            missing.discard((await owner.presences.get())["from"].resource)

    await within(PATIENCE * 2, all_there(), "all in the room")
    owner.send_message(room, "hail to thee", mtype="groupchat")
    for screen in (gajim.desktop, dino.desktop, profanity):
        await screen.sees("hail to thee")


@check("together", "OMEMO: Gajim, Dino and Profanity write to each other, each to each", limit=150.0)
async def omemo(case):
    if not OMEMO.exists():
        raise Skip("Gajim's plugin is not here")
    accounts = [await case.account(name) for name in ("romeo", "juliet", "mercutio")]
    romeo, juliet, mercutio = (account.address for account in accounts)
    sessions = [await login(case, account, priority=-1) for account in accounts]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        await befriend(sessions[one], sessions[other])
    for session in sessions:
        await session.close()
    # Where there is no list of devices yet, this version of Profanity publishes none.
    watcher = await equipped(case, accounts[2])
    sealed = {friend: {"encryption": "OMEMO"} for friend in (juliet, mercutio)}
    gajim = await Gajim.start(case, accounts[0], plugins=["omemo"], contacts=sealed)
    dino = await Dino.start(case, accounts[1], sealed=[romeo, mercutio])
    profanity = await online(case, accounts[2])
    for command in ("/omemo trustmode blind", "/omemo gen"):
        profanity.type(command)
    for address, devices in ((romeo, 1), (juliet, 1), (mercutio, 2)):
        await published(watcher, address, devices=devices)

    await dino.chat(romeo)
    await dino.say("what sadness lengthens Romeo's hours?")
    await gajim.chat(juliet)
    await gajim.desktop.sees("what sadness lengthens Romeo's hours?")
    await gajim.say("not having that which makes them short")
    await dino.desktop.sees("not having that which makes them short")

    await gajim.chat(mercutio)
    await gajim.say("I dreamt a dream tonight")
    profanity.type(f"/msg {romeo}")
    await profanity.sees("I dreamt a dream tonight")
    profanity.type(f"/omemo start {romeo}")
    profanity.type("and so did I")
    await gajim.desktop.sees("and so did I")

    await dino.chat(mercutio)
    await dino.say("good night, good night")
    profanity.type(f"/msg {juliet}")
    await profanity.sees("good night, good night")
    profanity.type(f"/omemo start {juliet}")
    profanity.type("parting is such sweet sorrow")
    await dino.desktop.sees("parting is such sweet sorrow")


@check("together", "the avatar that slixmpp publishes (XEP-0084) is seen by Gajim and Dino, and in the vCard (XEP-0153)")
async def avatar(case):
    accounts = [await case.account(name) for name in ("romeo", "mercutio")]
    juliet = await login(case, await case.account("juliet"), plugins=PLUGINS)
    for account in accounts:
        session = await login(case, account, priority=-1)
        await befriend(juliet, session)
        await session.close()
    image = rose()
    id = hashlib.sha1(image).hexdigest()
    data, metadata = ET.Element(f"{{{AVATAR}data}}data"), ET.Element(f"{{{AVATAR}metadata}}metadata")
    data.text = base64.b64encode(image).decode()
    ET.SubElement(metadata, f"{{{AVATAR}metadata}}info", id=id, type="image/png", bytes=str(len(image)))
    for payload in (data, metadata):
        await publish(juliet, payload.tag[1:].partition("}")[0], id, payload, access_model="open")
    gajim, dino = await Gajim.start(case, accounts[0]), await Dino.start(case, accounts[1])
    for account in accounts:
        await juliet.presence(account.address)
    await gajim.chat(juliet.boundjid.bare)
    await gajim.desktop.picture(case.server.work / "gajim-avatar.png", colour=ROSE, pixels=500)
    await dino.chat(juliet.boundjid.bare)
    await dino.desktop.picture(case.server.work / "dino-avatar.png", colour=ROSE, pixels=500)
    nurse = await login(case, await case.account("nurse"), plugins=("xep_0054",))
    vcard = await nurse["xep_0054"].get_vcard(juliet.boundjid.bare, timeout=PATIENCE)
    equal(vcard["vcard_temp"]["PHOTO"]["BINVAL"], image, "picture of the vCard")


@check("together", "Gajim enters what Profanity bookmarks in private XML (XEP-0049), and Profanity lists what is bookmarked by XEP-0402")
async def bookmarks(case):
    first, second = (slixmpp.JID(f"{name}@conference.{case.server.domain}") for name in ("orchard", "cell"))
    owner = await login(case, await case.account("crone"), plugins=PLUGINS)
    for room in (first, second):
        await owner["xep_0045"].join_muc_wait(room, "crone", timeout=PATIENCE)
        form = owner["xep_0004"].make_form(ftype="submit")
        await owner["xep_0045"].set_room_config(room, form)
    account = await case.account("macbeth")
    await bookmarked(case, account, first, "thane")
    gajim = await Gajim.start(case, account)
    await comes(owner, first, "thane")
    profanity = await online(case, account)
    profanity.type("/bookmark list")
    await profanity.sees(str(first))
    profanity.type(f"/bookmark add {second} nick thane autojoin on")
    await comes(owner, second, "thane")
    await gajim.desktop.sees("cell")


@check("together", "Profanity, which knows bookmarks in private XML alone (XEP-0049), lists the room that Gajim bookmarks as it enters")
async def bookmarks_of_gajim(case):
    room = slixmpp.JID(f"garden@conference.{case.server.domain}")
    owner = await made(case, await case.account("crone"), room)
    account = await case.account("macbeth")
    gajim = await Gajim.start(case, account)
    await gajim.roster()
    await gajim.join(str(room))
    await comes(owner, room, account.address.partition("@")[0])
    profanity = await online(case, account)
    profanity.type("/bookmark list")
    await profanity.sees(str(room))
