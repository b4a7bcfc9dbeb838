"""Dino on a desktop, with slixmpp on the other side."""

import asyncio
import ssl
import urllib.request

from check import check, equal
from desktop import ROSE, rose
from dino import Dino
from sealed import equipped, hear, published, say
from terminal import own_folder
from xmpp import befriend, login


async def friends(case):
    """Accounts of Romeo and Juliet, who know each other; she is there."""
    account = await case.account("romeo")
    juliet = await login(case, await case.account("juliet"))
    romeo = await login(case, account, priority=-1)
    await befriend(juliet, romeo)
    await romeo.close()
    return account, juliet


@check("dino", "finds the server by SRV, logs in by STARTTLS, the certificate verified by the CA; chat both ways")
async def chat(case):
    account, juliet = await friends(case)
    dino = await Dino.start(case, account)
    await juliet.presence(account.address)
    juliet.send_message(account.address, "good pilgrim, you do wrong your hand too much", mtype="chat")
    await dino.desktop.sees("good pilgrim, you do wrong your hand too much")
    await dino.chat(juliet.boundjid.bare)
    await dino.say("have not saints lips")
    await juliet.message("have not saints lips")
    await dino.desktop.picture(case.server.work / "dino-chat.png")


@check("dino", "OMEMO: publishes its keys, hears from slixmpp-omemo and writes to it")
async def omemo(case):
    account = await case.account("romeo")
    juliet = await equipped(case, await case.account("juliet"))
    romeo = await login(case, account, priority=-1)
    await befriend(juliet, romeo)
    await romeo.close()
    friend = juliet.boundjid.bare
    dino = await Dino.start(case, account, sealed=[friend])
    await published(juliet, account.address)
    await say(juliet, account.address, "how cam'st thou hither?")
    await dino.desktop.sees("how cam'st thou hither?")
    await dino.chat(friend)
    await dino.say("with love's light wings")
    equal(await hear(juliet), "with love's light wings", "body")


@check("dino", "uploads a picture by its file chooser, which comes down as it is, and shows it")
async def upload(case):
    account, juliet = await friends(case)
    dino = await Dino.start(case, account)
    await juliet.presence(account.address)
    await dino.chat(juliet.boundjid.bare)
    picture = own_folder(case.server.work) / "rose.png"
    picture.write_bytes(rose())
    await dino.upload(picture, ROSE)
    said = await juliet.find(juliet.messages, lambda message: "/upload/" in message["body"], "a message with an address")
    trust = ssl.create_default_context(cafile=case.server.ca)
    url = said["body"]
    got = await asyncio.to_thread(lambda: urllib.request.urlopen(url, context=trust, timeout=15).read())
    equal(got == rose(), True, "whether the picture came down")
    await dino.desktop.picture(case.server.work / "dino-upload.png", colour=ROSE, pixels=500)
