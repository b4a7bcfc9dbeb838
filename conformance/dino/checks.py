"""Dino on a desktop, with slixmpp on the other side."""

from check import check, equal
from dino import Dino
from sealed import equipped, hear, published, say
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
