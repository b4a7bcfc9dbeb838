"""Gajim on a desktop, with slixmpp on the other side."""

import asyncio
import ssl
import urllib.request

from breaks import Wire
from check import Skip, check, equal
from desktop import ROSE, rose
from people import OMEMO, Gajim
from sealed import equipped, hear, published, say
from terminal import own_folder
from xmpp import PATIENCE, befriend, login


async def friends(case):
    """Accounts of Romeo and Juliet, who know each other; she is there, with a picture in her vCard (XEP-0153)."""
    account = await case.account("romeo")
    juliet = await login(case, await case.account("juliet"), plugins=("xep_0054", "xep_0153"))
    romeo = await login(case, account, priority=-1)
    await befriend(juliet, romeo)
    await romeo.update_roster(juliet.boundjid.bare, name="Juliet Capulet", groups=["Capulets"])
    await romeo.close()
    await juliet["xep_0153"].set_avatar(avatar=rose(), mtype="image/png", timeout=PATIENCE)
    return account, juliet


@check("gajim", "log in by STARTTLS, the certificate verified by the CA; the roster with the picture of a vCard; chat both ways")
async def chat(case):
    account, juliet = await friends(case)
    gajim = await Gajim.start(case, account)
    await juliet.presence(account.address)
    await gajim.roster()
    await gajim.desktop.sees("Capulets", "Juliet Capulet")
    await gajim.desktop.picture(case.server.work / "gajim-roster.png", colour=ROSE, pixels=500)
    await gajim.chat(juliet.boundjid.bare)
    await gajim.say("my lips, two blushing pilgrims")
    message = await juliet.message("my lips, two blushing pilgrims")
    juliet.send_message(message["from"], "you do wrong your hand too much", mtype="chat")
    await gajim.desktop.sees("my lips, two blushing pilgrims", "you do wrong your hand too much")
    await gajim.desktop.picture(case.server.work / "gajim-chat.png", colour=ROSE, pixels=500)


@check("gajim", "uploads a picture, which comes down as it is")
async def upload(case):
    account, juliet = await friends(case)
    gajim = await Gajim.start(case, account)
    await juliet.presence(account.address)
    await gajim.chat(juliet.boundjid.bare)
    picture = own_folder(case.server.work) / "rose.png"
    picture.write_bytes(rose())
    await gajim.upload(picture)
    said = await juliet.find(juliet.messages, lambda message: "/upload/" in message["body"], "a message with an address")
    trust = ssl.create_default_context(cafile=case.server.ca)
    url = said["body"]
    got = await asyncio.to_thread(lambda: urllib.request.urlopen(url, context=trust, timeout=15).read())
    equal(got == rose(), True, "whether the picture came down")
    await gajim.desktop.picture(case.server.work / "gajim-upload.png")


@check("gajim", "OMEMO (its plugin): publishes its keys, hears from slixmpp-omemo and writes to it")
async def omemo(case):
    if not OMEMO.exists():
        raise Skip("Gajim's plugin is not here")
    account = await case.account("romeo")
    juliet = await equipped(case, await case.account("juliet"))
    romeo = await login(case, account, priority=-1)
    await befriend(juliet, romeo)
    await romeo.close()
    friend = juliet.boundjid.bare
    gajim = await Gajim.start(case, account, plugins=["omemo"], contacts={friend: {"encryption": "OMEMO"}})
    await published(juliet, account.address)
    await gajim.chat(friend)
    await gajim.say("with love's light wings")
    equal(await hear(juliet), "with love's light wings", "body")
    await say(juliet, account.address, "how cam'st thou hither?")
    await gajim.desktop.sees("how cam'st thou hither?")


@check("gajim", "what another device of the account sends and gets")
async def devices(case):
    account, juliet = await friends(case)
    gajim = await Gajim.start(case, account)
    await juliet.presence(account.address)
    await gajim.chat(juliet.boundjid.bare)
    phone = await login(case, account, priority=-1)
    phone.send_message(juliet.boundjid.full, "call me but love", mtype="chat")
    await juliet.message("call me but love")
    juliet.send_message(phone.boundjid.full, "by whose direction found'st thou out this place?", mtype="chat")
    await gajim.desktop.sees("call me but love", "by whose direction found'st thou out this place?")


@check("gajim", "its connection is cut: it comes back, and shows what was sent meanwhile")
async def cut(case):
    account, juliet = await friends(case)
    wire = await Wire.start(case)
    gajim = await Gajim.start(case, account, wire=wire)
    await juliet.presence(account.address)
    await gajim.chat(juliet.boundjid.bare)
    wire.cut()
    juliet.send_message(account.address, "art thou not Romeo, and a Montague?", mtype="chat")
    await gajim.desktop.sees("art thou not Romeo, and a Montague?")
    await gajim.say("neither, fair maid")
    await juliet.message("neither, fair maid")


@check("gajim", "what was sent while it was away")
async def offline(case):
    account, juliet = await friends(case)
    for number in (1, 2):
        juliet.send_message(account.address, f"come at the hour of nine, {number}", mtype="chat")
    await juliet["xep_0199"].ping(timeout=PATIENCE)
    gajim = await Gajim.start(case, account)
    await juliet.presence(account.address)
    await gajim.chat(juliet.boundjid.bare)
    await gajim.desktop.sees("come at the hour of nine, 1", "come at the hour of nine, 2")


@check("gajim", "blocks a contact, who sees it leave and is refused, lists it, and lets it speak again")
async def blocking(case):
    account, juliet = await friends(case)
    gajim = await Gajim.start(case, account)
    await juliet.presence(account.address)
    await gajim.block(juliet.boundjid.bare)
    await gajim.desktop.press("Block")
    await juliet.presence(account.address, "unavailable")
    juliet.send_message(account.address, "are you there?", mtype="chat")
    equal((await juliet.message())["error"]["condition"], "service-unavailable", "error")
    await gajim.block_list()
    await gajim.desktop.sees(juliet.boundjid.bare)
    await gajim.block(juliet.boundjid.bare)
    await juliet.presence(account.address)
    await gajim.chat(juliet.boundjid.bare)
    juliet.send_message(account.address, "and now?", mtype="chat")
    await gajim.desktop.sees("and now?")


@check("gajim", "a wrong CA: it shows why it does not connect")
async def wrong_ca(case):
    gajim = await Gajim.start(case, await case.account("romeo"), case.server.wrong_ca)
    await gajim.desktop.sees("SSL Certificate Verification Error", "not known")
