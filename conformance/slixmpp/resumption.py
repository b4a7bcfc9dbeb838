"""Connections that break in the middle of a burst, and streams that go on (XEP-0198 §5)."""

import asyncio

from check import check, equal, expect, within
from server import Server
from terminal import own_folder
from xmpp import PATIENCE, login

COUNT = 60


async def resumable(case, account):
    client = await login(case, account, available=False, plugins=["xep_0198"])
    client.resumed = asyncio.Event()
    client.add_event_handler("session_resumed", lambda _: client.resumed.set())
    for _ in range(PATIENCE * 10):
        if client["xep_0198"].sm_id:
            break
        await asyncio.sleep(0.1)
    expect(client["xep_0198"].sm_id, "no id to resume by")
    client.send_presence()
    await client["xep_0199"].ping(timeout=PATIENCE)
    return client


async def come_back(client, server):
    client.ended.clear()
    client.resumed.clear()
    client.connect(server.host, server.port)
    await within(PATIENCE, client.resumed.wait(), "the session again")


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
            await within(PATIENCE, juliet.ended.wait(), "the end of a connection")
            await come_back(juliet, case.server)
        if number % 20 == 15:
            romeo.abort()
            await within(PATIENCE, romeo.ended.wait(), "the end of a connection")
            await come_back(romeo, case.server)
    equal(await numbers(juliet, COUNT - 1), list(range(COUNT)), "messages")


@check("slixmpp", "the server is restarted in a burst: both sessions go on, everything comes once and in order")
async def restart(case):
    server = Server(case.server.binary, own_folder(case.server.work))
    await server.start()
    case.closing(server.stop)
    case.server = server
    romeo = await resumable(case, await case.account("romeo"))
    account = await case.account("juliet")
    juliet = await resumable(case, account)
    for number in range(COUNT):
        romeo.send_message(account.address, str(number), mtype="chat")
    equal(await server.stop(), 0, "exit status")
    for client in (romeo, juliet):
        await within(PATIENCE, client.ended.wait(), "the end of a connection")
    await server.serve()
    await come_back(romeo, server)
    await come_back(juliet, server)
    equal(await numbers(juliet, COUNT - 1), list(range(COUNT)), "messages")
