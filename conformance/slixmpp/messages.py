"""Messages, to those who are there and those who are not."""

import datetime

from check import check, equal, expect
from server import MARK
from xmpp import condition, login


@check("slixmpp", "chat both ways, every character and line end as it was")
async def chat(case):
    romeo = await login(case, await case.account("romeo"))
    juliet = await login(case, await case.account("juliet"))
    body = f"O Romeo, <Romeo> & \"co\"\n\t{MARK} ]]> \N{ROSE} e\u0301?"
    for one, other in ((romeo, juliet), (juliet, romeo)):
        one.send_message(other.boundjid.bare, body, mtype="chat")
        message = await other.message()
        equal((message["body"], message["from"]), (body, one.boundjid), "message")
        equal(message["type"], "chat", "type")


@check("slixmpp", "a thousand messages arrive in order")
async def order(case):
    romeo = await login(case, await case.account("romeo"))
    juliet = await login(case, await case.account("juliet"))
    for number in range(1000):
        romeo.send_message(juliet.boundjid.bare, str(number), mtype="chat")
    found = [(await juliet.message())["body"] for _ in range(1000)]
    equal(found, [str(number) for number in range(1000)], "order")


@check("slixmpp", "to the bare address: not to negative priorities; to a full address: that resource alone")
async def resources(case):
    romeo = await login(case, await case.account("romeo"))
    account = await case.account("juliet")
    balcony = await login(case, account, "balcony", priority=10)
    cellar = await login(case, account, "cellar", priority=-1)
    romeo.send_message(account.address, "to whom it concerns", mtype="chat")
    await balcony.message("to whom it concerns")
    await cellar.no_message()
    romeo.send_message(cellar.boundjid.full, "to the cellar", mtype="chat")
    await cellar.message("to the cellar")
    await balcony.no_message()


@check("slixmpp", "priorities may change: the resource that is most available gets it")
async def priorities(case):
    romeo = await login(case, await case.account("romeo"))
    account = await case.account("juliet")
    balcony = await login(case, account, "balcony", priority=1)
    garden = await login(case, account, "garden", priority=-1)
    balcony.send_presence(ppriority=-1)
    garden.send_presence(ppriority=5)
    while (await balcony.presence(garden.boundjid.full))["priority"] != 5:
        pass
    romeo.send_message(account.address, "where are you?", mtype="chat")
    await garden.message("where are you?")
    await balcony.no_message()


@check("slixmpp", "messages to an account that is away arrive once, in order, with the time they were sent")
async def offline(case):
    romeo = await login(case, await case.account("romeo"))
    account = await case.account("juliet")
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=2)
    bodies = [f"letter {number}" for number in range(20)]
    for body in bodies:
        romeo.send_message(account.address, body, mtype="chat")
    await romeo["xep_0199"].ping(timeout=15)
    juliet = await login(case, account)
    for body in bodies:
        message = await juliet.message()
        equal(message["body"], body, "message")
        stamp = message["delay"]["stamp"]
        expect(stamp and before <= stamp <= datetime.datetime.now(datetime.UTC), f"delay: {stamp}")
        equal(message["delay"]["from"].bare, case.server.domain, "delay from")
    await juliet.close()
    await (await login(case, account)).no_message()


@check("slixmpp", "a resource with negative priority leaves the messages where they are")
async def offline_negative_priority(case):
    romeo = await login(case, await case.account("romeo"))
    account = await case.account("juliet")
    cellar = await login(case, account, "cellar", priority=-1)
    romeo.send_message(account.address, "later", mtype="chat")
    await cellar.no_message()
    await (await login(case, account, "balcony", priority=0)).message("later")


@check("slixmpp", "a message to nobody comes back as an error")
async def nobody(case):
    romeo = await login(case, await case.account("romeo"))
    romeo.send_message(f"nobody@{case.server.domain}", "hello?", mtype="chat")
    answer = await romeo.message()
    equal((answer["type"], condition(answer)), ("error", "service-unavailable"), "answer")
