"""Certificates that DNS names (RFC 7673): a Prosody without any authority, in a zone that is really signed."""

import re

from check import check, expect, within
from neighbours import THEIRS, Neighbours, reason, there_and_back
from peers import Prosody


async def arrives(client, body):
    async def wait():
        while (await client.message())["body"] != body:
            pass

    await within(20, wait(), f"the message {body!r}")


@check("prosody", "DANE: a certificate no authority knows is believed while a signed zone names it", apart=True, limit=150.0)
async def dane(case):
    here = await Neighbours.settle(case, Prosody, proof="dialback", bidi=False, dane="require")
    status = await here.own.ask("status")
    expect("require, signatures are checked by" in status, f"status: {status}")
    romeo, juliet = await here.people()
    await there_and_back(romeo, juliet)
    links = await here.links()
    expect(any("certificate by DANE" in link for link in links), f"links: {links}")

    # Another key, which no record names yet.
    here.certificate(here.peer, [THEIRS])
    await here.peer.restart()
    juliet = await here.juliet()
    romeo.send_message(juliet.boundjid.bare, "with another key", mtype="chat")
    await reason(romeo, "none of those that DNS names")
    tried = await here.own.ask("s2s", "test", THEIRS)
    expect("TLSA for xmpp.mantua.lit: " in tried and "none of those that DNS names" in tried, f"s2s test: {tried}")
    await here.signed.publish(here.records())
    await arrives(juliet, "with another key")

    # A record that was changed by somebody without the key of the zone.
    await here.own.ask("s2s", "close", THEIRS)
    await here.signed.publish(here.records(), forged=lambda zone: re.sub(r"(TLSA\s+3 1 1 )\w{8}", r"\g<1>00000000", zone))
    romeo.send_message(juliet.boundjid.bare, "under a forged record", mtype="chat")
    await reason(romeo, "signature is wrong")
    await here.signed.publish(here.records())
    await arrives(juliet, "under a forged record")
