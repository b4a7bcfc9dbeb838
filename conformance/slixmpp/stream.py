"""What belongs to the stream and the server: acks, discovery, ping, iq rules."""

import asyncio
from xml.etree.ElementTree import Element

from check import check, equal, expect, within
from xmpp import PATIENCE, befriend, condition, login

INFO = "http://jabber.org/protocol/disco#info"


@check("slixmpp", "stream management: enabled, everything sent is acknowledged")
async def acks(case):
    account = await case.account("romeo")
    romeo = await login(case, account, available=False, plugins=["xep_0198"])
    sm = romeo["xep_0198"]
    for _ in range(PATIENCE * 10):
        if sm.enabled_in:
            break
        await asyncio.sleep(0.1)
    expect(sm.enabled_in, "not enabled")
    acked = asyncio.Queue()
    romeo.add_event_handler("stanza_acked", acked.put_nowait)
    romeo.send_presence()
    for number in range(20):
        romeo.send_message(account.address, str(number), mtype="chat")
    for number in range(20):
        equal((await romeo.message())["body"], str(number), "message")
    sm.request_ack()
    bodies = []
    while len(bodies) < 20:
        stanza = await within(PATIENCE, acked.get(), "an ack")
        if stanza.name == "message":
            bodies.append(stanza["body"])
    equal(bodies, [str(number) for number in range(20)], "acknowledged")


@check("slixmpp", "ping to the server, to the own account, to another resource")
async def ping(case):
    account = await case.account("romeo")
    balcony = await login(case, account, "balcony")
    garden = await login(case, account, "garden")
    for target in (case.server.domain, account.address, garden.boundjid.full):
        answer = await balcony.request(pinging(balcony, target))
        equal((answer["type"], str(answer["from"])), ("result", target), "answer")


def pinging(client, target):
    iq = client.make_iq_get(ito=target)
    iq.enable("ping")
    return iq


@check("slixmpp", "discovery of the server and of the own account")
async def disco(case):
    account = await case.account("romeo")
    romeo = await login(case, account)
    info = (await romeo["xep_0030"].get_info(jid=case.server.domain, timeout=PATIENCE))["disco_info"]
    equal({identity[:2] for identity in info["identities"]}, {("server", "im")}, "identities of the server")
    wanted = {INFO, "http://jabber.org/protocol/disco#items", "urn:xmpp:ping", "msgoffline"}
    equal(wanted - set(info["features"]), set(), "missing features")
    answer = await romeo["xep_0030"].get_info(jid=account.address, timeout=PATIENCE)
    equal(answer["from"].full, account.address, "from")
    identities = {identity[:2] for identity in answer["disco_info"]["identities"]}
    expect(("account", "registered") in identities, f"identities of the account: {identities}")
    items = await romeo["xep_0030"].get_items(jid=case.server.domain, timeout=PATIENCE)
    equal(items["type"], "result", "items")


@check("slixmpp", "nobody learns whether an account exists by asking for its capabilities")
async def disco_stranger(case):
    romeo = await login(case, await case.account("romeo"))
    juliet = await case.account("juliet")
    answers = []
    for target in (juliet.address, f"nobody@{case.server.domain}"):
        iq = romeo.make_iq_get(queryxmlns=INFO, ito=target)
        answers.append(condition(await romeo.request(iq)))
    equal(answers[0], answers[1], "answers")


@check("slixmpp", "the capabilities hash in the stream features is that of the server's disco answer")
async def caps(case):
    romeo = await login(case, await case.account("romeo"), plugins=["xep_0115"])
    announced = romeo.stream_features[-1].find("{http://jabber.org/protocol/caps}c")
    expect(announced is not None, "not announced")
    node = f"{announced.get('node')}#{announced.get('ver')}"
    info = await romeo["xep_0030"].get_info(jid=case.server.domain, node=node, timeout=PATIENCE)
    equal(romeo["xep_0115"].generate_verstring(info["disco_info"], "sha-1"), announced.get("ver"), "ver")


@check("slixmpp", "the same for capabilities 2.0: every node announced is one that disco knows")
async def caps2(case):
    romeo = await login(case, await case.account("romeo"))
    announced = romeo.stream_features[-1].find("{urn:xmpp:caps}c")
    expect(announced is not None, "not announced")
    hashes = announced.findall("{urn:xmpp:hashes:2}hash")
    expect({"sha-256", "sha3-256"} <= {hash.get("algo") for hash in hashes}, f"hashes: {len(hashes)}")
    for hash in hashes:
        node = f"urn:xmpp:caps#{hash.get('algo')}.{hash.text}"
        info = await romeo["xep_0030"].get_info(jid=case.server.domain, node=node, timeout=PATIENCE)
        equal(info["disco_info"]["node"], node, "node")


@check("slixmpp", "the limits of the stream are announced")
async def stream_limits(case):
    romeo = await login(case, await case.account("romeo"))
    limits = romeo.stream_features[-1].find("{urn:xmpp:stream-limits:0}limits")
    expect(limits is not None, "not announced")
    expect(int(limits.findtext("{urn:xmpp:stream-limits:0}max-bytes")) >= 10_000, "max-bytes")


@check("slixmpp", "an iq that nobody knows is answered with service-unavailable")
async def unknown_iq(case):
    account = await case.account("romeo")
    romeo = await login(case, account)
    juliet = await login(case, await case.account("juliet"))
    for target in (None, case.server.domain, account.address, juliet.boundjid.bare):
        for kind in ("get", "set"):
            iq = romeo.make_iq(ito=target, itype=kind)
            iq.append(Element("{urn:example:unknown}query"))
            equal(condition(await romeo.request(iq)), "service-unavailable", f"{kind} to {target}")


@check("slixmpp", "an iq to a resource that is not there is answered with service-unavailable")
async def missing_resource(case):
    romeo = await login(case, await case.account("romeo"))
    juliet = await login(case, await case.account("juliet"))
    answer = await romeo.request(pinging(romeo, f"{juliet.boundjid.bare}/nowhere"))
    equal((condition(answer), answer["from"].resource), ("service-unavailable", "nowhere"), "answer")


@check("slixmpp", "an iq reaches the resource of who shares presence, and of nobody else (RFC 6121 §8.5.3.1)")
async def iq_between(case):
    romeo = await login(case, await case.account("romeo"))
    juliet = await login(case, await case.account("juliet"))
    answer = await romeo.request(pinging(romeo, juliet.boundjid.full))
    equal(condition(answer), "service-unavailable", "answer to a stranger")
    await befriend(romeo, juliet)
    answer = await romeo.request(pinging(romeo, juliet.boundjid.full))
    equal((answer["type"], answer["from"]), ("result", juliet.boundjid), "answer")
