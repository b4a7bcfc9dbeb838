"""Connections that break in the middle of a burst, and streams that go on (XEP-0198 §5)."""

from breaks import COUNT, come_back, gone, own_server, resumable, speak
from check import check, equal


async def numbers(client, last):
    came = []
    while not came or came[-1] != last:
        came.append(int((await client.message())["body"]))
    return came


@check("slixmpp", "both sides are cut in a burst and resume: everything comes once and in order")
async def cut(case):
    romeo = await resumable(case, await case.account("romeo"))
    account = await case.account("juliet")
    juliet = await resumable(case, account)
    for number in range(COUNT):
        romeo.send_message(account.address, str(number), mtype="chat")
        if number % 20 == 10:
            juliet.abort()
            await gone(juliet)
            await come_back(juliet, case.server)
        if number % 20 == 15:
            romeo.abort()
            await gone(romeo)
            await come_back(romeo, case.server)
    equal(await numbers(juliet, COUNT - 1), list(range(COUNT)), "messages")


@check("slixmpp", "the server is restarted in a burst: both sessions go on, everything comes once and in order")
async def restarted(case):
    server = await own_server(case)
    romeo = await resumable(case, await case.account("romeo"))
    account = await case.account("juliet")
    juliet = await resumable(case, account)
    await speak(romeo, account.address, range(COUNT))
    equal(await server.stop(), 0, "exit status")
    for client in (romeo, juliet):
        await gone(client)
    await server.serve()
    await come_back(romeo, server)
    await come_back(juliet, server)
    equal(await numbers(juliet, COUNT - 1), list(range(COUNT)), "messages")
