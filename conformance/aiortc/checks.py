"""Two peers of WebRTC (aiortc) that reach each other through the relay alone, signalled by Jingle over two accounts: an audio
stream and a data channel."""

import asyncio

from check import check, equal
from phone import Phone


async def call(case, transport):
    juliet = await Phone.ready(case, await case.account("juliet"), transport)
    romeo = await Phone.ready(case, await case.account("romeo"), transport)
    await asyncio.gather(juliet.meet(romeo.client.boundjid.full), romeo.meet(juliet.client.boundjid.full))
    ways = await asyncio.gather(juliet.call(romeo.client.boundjid.full), romeo.answer())
    equal(ways, [["relay", "relay"]] * 2, "the ways")


@check("aiortc", "audio and a data channel through the relay alone, by UDP")
async def call_by_udp(case):
    await call(case, "udp")


@check("aiortc", "audio and a data channel through the relay alone, by TCP")
async def call_by_tcp(case):
    await call(case, "tcp")
