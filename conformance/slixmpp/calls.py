"""Calls: they ring on every device and are over on all of them (XEP-0353), services are for accounts alone (XEP-0215), and who
wants so is not seen."""

import asyncio
from xml.etree import ElementTree

from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from check import check, equal, expect, within
from server import Account
from xmpp import PATIENCE, condition, login

CALL = "{urn:xmpp:jingle-message:0}"
EXTDISCO = "{urn:xmpp:extdisco:2}"
JINGLE = "{urn:xmpp:jingle:1}"
ICE = "{urn:xmpp:jingle:transports:ice-udp:1}"
CARBONS = ("xep_0280", "xep_0297")
SID = "a73sjjvkla37jfea"


async def device(case, account, resource):
    client = await login(case, account, resource, plugins=CARBONS)
    await client["xep_0280"].enable()
    return client


def say(client, to, step, kind="chat"):
    message = client.make_message(mto=to, mtype=kind)
    element = ElementTree.Element(f"{CALL}{step}", id=SID)
    if step == "propose":
        ElementTree.SubElement(element, "{urn:xmpp:jingle:apps:rtp:1}description", media="audio")
    message.append(element)
    message.append(ElementTree.Element("{urn:xmpp:hints}store"))
    message.send()


async def hears(client, step):
    """The next message with that step of the call, its own or a copy of what another device did."""
    found = await client.find(client.messages, lambda m: m.xml.find(f".//{CALL}{step}") is not None, f"<{step}/>")
    equal(found.xml.find(f".//{CALL}{step}").get("id"), SID, "the call")
    return found


@check("slixmpp", "a call rings on all three devices, and is over on all once one answers")
async def rings_everywhere(case):
    juliet = await case.account("juliet")
    devices = [await device(case, juliet, resource) for resource in ("phone", "tablet", "desk")]
    romeo = await device(case, await case.account("romeo"), "orchard")
    say(romeo, juliet.address, "propose")
    for one in devices:
        equal((await hears(one, "propose"))["from"], romeo.boundjid, "the caller")
    say(devices[0], romeo.boundjid.bare, "proceed")
    equal((await hears(romeo, "proceed"))["from"], devices[0].boundjid, "who answered")
    for other in devices[1:]:
        await hears(other, "proceed")
        await other.no_message()


@check("slixmpp", "a call that is withdrawn is over on all devices")
async def withdrawn(case):
    juliet = await case.account("juliet")
    devices = [await device(case, juliet, resource) for resource in ("phone", "tablet", "desk")]
    romeo = await device(case, await case.account("romeo"), "orchard")
    for step in ("propose", "retract"):
        say(romeo, juliet.address, step)
        for one in devices:
            await hears(one, step)


async def services(client, host):
    """The answer, and the types of what it names."""
    iq = client.make_iq_get(ito=host)
    iq.append(ElementTree.Element(f"{EXTDISCO}services"))
    answer = await client.request(iq)
    return answer, {service.get("type") for service in answer.xml.iterfind(f".//{EXTDISCO}service")}


@check("slixmpp", "guests, and people of other domains, are not told of services for calls")
async def services_for_accounts(case):
    guest = await login(case, Account(case.server.guest_domain, ""))
    answer, _ = await services(guest, case.server.guest_domain)
    equal(condition(answer), "forbidden", "the answer to a guest")
    other = await login(case, await case.account("paris", case.server.plain_domain))
    answer, _ = await services(other, case.server.domain)
    equal(condition(answer), "forbidden", "the answer to somebody of another domain")


def calls(client):
    """Where calls come in."""
    heard = asyncio.Queue()
    client.register_handler(Callback("calls", MatchXPath(f"{{jabber:client}}iq/{JINGLE}jingle"), heard.put_nowait))
    return heard


def transport_info(client, to):
    """Ways to a client as ICE finds them."""
    jingle = ElementTree.Element(f"{JINGLE}jingle", action="transport-info", sid=SID)
    content = ElementTree.SubElement(jingle, f"{JINGLE}content", creator="initiator", name="voice")
    transport = ElementTree.SubElement(content, f"{ICE}transport", ufrag="u", pwd="p")
    for kind in ("host", "srflx", "relay"):
        ElementTree.SubElement(transport, f"{ICE}candidate", {"type": kind, "ip": "198.51.100.7", "rel-addr": "192.0.2.1"})
    iq = client.make_iq_set(ito=to)
    iq.append(jingle)
    return iq


@check("slixmpp", "who chooses so by a command is told of relays alone, and names no other way to itself")
async def hidden(case):
    juliet = await login(case, await case.account("juliet"), "phone", plugins=("xep_0004", "xep_0050"))
    romeo = await login(case, await case.account("romeo"), "phone", plugins=("xep_0004", "xep_0050"))
    equal((await services(juliet, case.server.domain))[1], {"stun", "turn", "turns"}, "services before")
    begun = await juliet["xep_0050"].send_command(juliet.boundjid.bare, "waxwing:account#calls")
    form = begun["command"]["form"]
    way = form.get_fields()["way"]
    equal(way["value"], "any", "what holds before")
    expect("relay" in [option["value"] for option in way["options"]], f"options: {way}")
    reply = juliet["xep_0004"].make_form(ftype="submit")
    reply.add_field(var="way", value="relay")
    session = begun["command"]["sessionid"]
    done = await juliet["xep_0050"].send_command(
        juliet.boundjid.bare, "waxwing:account#calls", sessionid=session, action="complete", payload=reply
    )
    equal(done["command"]["status"], "completed", "the command")
    equal((await services(juliet, case.server.domain))[1], {"turn", "turns"}, "services")
    equal((await services(romeo, case.server.domain))[1], {"stun", "turn", "turns"}, "services of somebody else")
    for one, other in ((juliet, romeo), (romeo, juliet)):
        one.send_presence(pto=other.boundjid.full)
        await other.presence(one.boundjid.full)
    for one, other in ((juliet, romeo), (romeo, juliet)):
        heard = calls(other)
        transport_info(one, other.boundjid.full).send(callback=lambda _: None, timeout=1)
        named = (await within(PATIENCE, heard.get(), "a call")).xml.findall(f".//{ICE}candidate")
        equal([(way.get("type"), way.get("rel-addr")) for way in named], [("relay", None)], "the ways that are named")
