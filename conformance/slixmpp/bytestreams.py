"""Files from client to client through the server (XEP-0065), with slixmpp on both sides."""

import asyncio
import os

from slixmpp.exceptions import IqError

from check import Wrong, check, equal, within
from xmpp import PATIENCE, befriend, login

FILE = os.urandom(1_000_000)


async def streaming(case, name):
    """A client that takes bytestreams, and what it gets of them."""
    account = await case.account(name)
    client = await login(case, account, "streams", plugins=["xep_0065"])
    client["xep_0065"].auto_accept = True
    got = bytearray()
    client.add_event_handler("socks5_data", got.extend)
    return client, got


@check("slixmpp", "a bytestream goes through the proxy that disco finds, both ways")
async def bytestream(case):
    romeo, thanks = await streaming(case, "romeo")
    juliet, got = await streaming(case, "juliet")
    await befriend(romeo, juliet)
    # Components that are not there do not answer.
    await romeo["xep_0065"].discover_proxies(timeout=3)
    stream = await within(PATIENCE, romeo["xep_0065"].handshake(juliet.boundjid, timeout=PATIENCE), "a bytestream")
    equal(list(map(str, romeo["xep_0065"]._proxies)), [f"proxy.{case.server.domain}"], "the proxies found")
    await stream.write(FILE)
    await become(got, FILE)
    (back,) = juliet["xep_0065"]._sessions.values()
    await back.write(b"thanks")
    await become(thanks, b"thanks")


async def become(got, expected):
    for _ in range(PATIENCE * 20):
        if len(got) >= len(expected):
            break
        await asyncio.sleep(0.05)
    equal(bytes(got) == expected, True, f"all of {len(expected)} bytes came, and no other ({len(got)})")


@check("slixmpp", "nobody of another domain is told where the proxy is, or joined")
async def strangers(case):
    account = await case.server.new_account("mercutio", case.server.plain_domain)
    stranger = await login(case, account, "streams", plugins=["xep_0065"])
    proxy = f"proxy.{case.server.domain}"
    for ask in (
        stranger["xep_0065"].get_network_address(proxy, timeout=PATIENCE),
        stranger["xep_0065"].activate(proxy, "sid", "romeo@example.org/orchard", timeout=PATIENCE),
    ):
        try:
            await ask
        except IqError as error:
            equal(error.condition, "forbidden", "the answer")
        else:
            raise Wrong("a stranger was served")
