"""Components that act on what people publish with their accounts: as gateways do, by privilege (XEP-0356), and as services of
nodes do that stand in for the server's own, by delegation (XEP-0355)."""

import asyncio
import copy
import xml.etree.ElementTree as ET

import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from breaks import own_server
from check import check, equal, expect, within
from xmpp import PATIENCE, befriend, login

PUBSUB = "http://jabber.org/protocol/pubsub"
EVENT = f"{PUBSUB}#event"
BOOKMARKS = "urn:xmpp:bookmarks:1"
DISPLAYED = "urn:xmpp:mds:displayed:0"
TUNE = "http://jabber.org/protocol/tune"
DELEGATION = "urn:xmpp:delegation:2"
FORWARD = "{urn:xmpp:forward:0}forwarded"


class Gateway(slixmpp.ComponentXMPP):
    """Knows what the server lets it do; answers what is delegated to it from a memory of its own."""

    def __init__(self, server):
        super().__init__(*server.components["echo"], server.component_host, server.component_port)
        for plugin in ("xep_0004", "xep_0030", "xep_0060", "xep_0199", "xep_0356", "xep_0402"):
            self.register_plugin(plugin)
        self.told, self.ended, self.answered = asyncio.Event(), asyncio.Event(), asyncio.Queue()
        self.presences, self.kept = asyncio.Queue(), {}
        self.add_event_handler("privileges_advertised", lambda _: self.told.set())
        self.add_event_handler("disconnected", lambda _: self.ended.set())
        self.register_handler(Callback("presences", StanzaPath("presence"), self.presences.put_nowait))
        for kind in ("get", "set"):
            path = StanzaPath(f"iq@type={kind}")
            self.register_handler(Callback(f"delegated {kind}", path, self.delegated))

    @classmethod
    async def attach(cls, case):
        gateway = cls(case.server)
        case.closing(gateway.close)
        gateway.connect()
        await within(PATIENCE, gateway.told.wait(), "being told what it may do")
        return gateway

    async def close(self):
        self.cancel_connection_attempt()
        if not self.ended.is_set():
            self.disconnect(wait=5.0)
            await within(PATIENCE, self.ended.wait(), "the end of the component")

    def privileged(self, account, kind):
        """An iq in somebody's name, to himself."""
        return self.Iq(stype=kind, sto=account, sfrom=account)

    def delegated(self, iq):
        wrapper = iq.xml.find(f"{{{DELEGATION}}}delegation")
        if wrapper is None:
            return
        inner = wrapper.find(FORWARD)[0]
        answer = iq.reply()
        answer.clear()
        carrying = ET.SubElement(ET.SubElement(answer.xml, wrapper.tag), FORWARD)
        result = ET.SubElement(carrying, inner.tag, id=inner.get("id"), type="result")
        result.set("to", inner.get("from"))
        if inner.get("to"):
            result.set("from", inner.get("to"))
        result.extend(self.serve(inner))
        answer.send()
        self.answered.put_nowait(inner)

    def serve(self, iq):
        """What is published is kept; what is asked for is what was kept."""
        act = iq[0][0]
        node = (iq.get("to") or slixmpp.JID(iq.get("from")).bare, act.get("node"))
        pubsub = ET.Element(f"{{{PUBSUB}}}pubsub")
        if act.tag == f"{{{PUBSUB}}}publish":
            self.kept[node] = copy.deepcopy(act[0])
            published = ET.SubElement(pubsub, act.tag, node=node[1])
            ET.SubElement(published, act[0].tag, id=act[0].get("id"))
        else:
            items = ET.SubElement(pubsub, act.tag, node=node[1])
            items.append(copy.deepcopy(self.kept[node]))
        return [pubsub]


def is_event(message):
    return message.xml.find(f"{{{EVENT}}}event") is not None


def privileges(domain, **iq):
    """Of the component, as a setting."""
    names = ", ".join(f'"{PUBSUB}{name}" = "{may}"' for name, may in iq.items())
    may = f'roster = "both", message = "outgoing", presence = "managed_entity", iq = {{ {names} }}'
    return f'modules.privilege.components=[{{ domain = "echo.{domain}", {may} }}]'


@check("slixmpp", "a gateway (XEP-0356) keeps bookmarks, what was read, and the roster of an account, and speaks in its name", apart=True)
async def gateway(case):
    await own_server(case, privileges(case.server.domain, **{"": "both", "#owner": "set"}))
    romeo_account = await case.account("romeo")
    gateway = await Gateway.attach(case)
    romeo = await login(case, romeo_account, "pep", available=False, plugins=["xep_0115", "xep_0163", "xep_0402", "xep_0490"])
    for node in (BOOKMARKS, DISPLAYED):
        romeo["xep_0163"].add_interest(node)
    await romeo["xep_0115"].update_caps()
    romeo.send_presence()
    await romeo.get_roster(timeout=PATIENCE)
    bare, domain = romeo.boundjid.bare, gateway.boundjid.bare
    seen = await within(PATIENCE, gateway.presences.get(), "the presence of whom it serves")
    equal(seen["from"].full, romeo.boundjid.full, "whose presence")

    room = f"room@{domain}"
    iq = gateway.privileged(bare, "set")
    item = slixmpp.plugins.xep_0060.stanza.Item()
    item["id"] = room
    bookmark = ET.SubElement(item.xml, f"{{{BOOKMARKS}}}conference", name="Verona", autojoin="true")
    ET.SubElement(bookmark, f"{{{BOOKMARKS}}}nick").text = "Romeo"
    iq["pubsub"]["publish"]["node"] = BOOKMARKS
    iq["pubsub"]["publish"].append(item)
    await gateway["xep_0356"].send_privileged_iq(iq)
    told = await romeo.find(romeo.messages, is_event, "the bookmark")
    equal((told["from"].full, told["pubsub_event"]["items"]["item"]["id"]), (bare, room), "the event")

    iq = gateway.privileged(bare, "get")
    iq["pubsub"]["items"]["node"] = BOOKMARKS
    answer = await gateway["xep_0356"].send_privileged_iq(iq)
    equal([item["id"] for item in answer["pubsub"]["items"]], [room], "bookmarks")

    iq = gateway.privileged(bare, "set")
    item = slixmpp.plugins.xep_0060.stanza.Item()
    item["id"] = room
    read = ET.SubElement(item.xml, f"{{{DISPLAYED}}}displayed")
    ET.SubElement(read, "{urn:xmpp:sid:0}stanza-id", id="0f710f2b-52ed-4d52-b928-784dad74a52b", by=room)
    iq["pubsub"]["publish"]["node"] = DISPLAYED
    iq["pubsub"]["publish"].append(item)
    await gateway["xep_0356"].send_privileged_iq(iq)
    # The bookmark may come twice: as it is published, and as the last one when the server learns what this client wants to know.
    is_read = lambda message: is_event(message) and message["pubsub_event"]["items"]["node"] == DISPLAYED
    await romeo.find(romeo.messages, is_read, "what was read")

    iq = gateway.privileged(bare, "set")
    iq["pubsub_owner"]["delete"]["node"] = "urn:example:none"
    refused = await gateway["xep_0356"].send_privileged_iq(iq)
    equal(refused["error"]["condition"], "item-not-found", "error")

    await gateway["xep_0356"].set_roster(bare, {f"juliet@{domain}": {"name": "Juliet", "subscription": "both", "groups": ["Verona"]}})
    equal((await romeo.push(f"juliet@{domain}"))["name"], "Juliet", "name in the roster")
    roster = await gateway["xep_0356"].get_roster(bare)
    expect(slixmpp.JID(f"juliet@{domain}") in roster["roster"]["items"], "the contact is not in the roster")

    juliet = await login(case, await case.account("juliet"))
    message = gateway.Message(sto=juliet.boundjid.bare, sfrom=bare, stype="chat")
    message["body"] = "written on the other network"
    gateway["xep_0356"].send_privileged_message(message)
    equal((await juliet.message("written on the other network"))["from"].full, bare, "from")


@check("slixmpp", "a component answers for the nodes of accounts (XEP-0355), and contacts hear of it in their name (XEP-0356)", apart=True)
async def delegated_nodes(case):
    domain = case.server.domain
    names = ", ".join(f'{{ namespace = "{PUBSUB}{name}", to = "echo.{domain}" }}' for name in ("", "#owner"))
    await own_server(case, privileges(domain, **{"": "both"}), f"modules.delegation.namespaces=[{names}]")
    component = await Gateway.attach(case)
    romeo = await login(case, await case.account("romeo"), plugins=["xep_0060"])
    juliet = await login(case, await case.account("juliet"), plugins=["xep_0060"])
    await befriend(romeo, juliet)
    tune = ET.Element(f"{{{TUNE}}}tune")
    ET.SubElement(tune, f"{{{TUNE}}}title").text = "Introduction"
    bare = romeo.boundjid.bare
    published = await romeo["xep_0060"].publish(bare, TUNE, id="current", payload=tune, timeout=PATIENCE)
    equal(published["pubsub"]["publish"]["item"]["id"], "current", "id")
    asked = await within(PATIENCE, component.answered.get(), "a question")
    equal((asked.get("from"), asked.get("to")), (romeo.boundjid.full, bare), "who asked whom")
    found = await juliet["xep_0060"].get_items(bare, TUNE, timeout=PATIENCE)
    equal(found["pubsub"]["items"]["item"]["payload"][0].text, "Introduction", "the tune")

    event = component.Message(sto=juliet.boundjid.bare, sfrom=bare, stype="headline")
    items = ET.SubElement(ET.SubElement(event.xml, f"{{{EVENT}}}event"), f"{{{EVENT}}}items", node=TUNE)
    ET.SubElement(items, f"{{{EVENT}}}item", id="current").append(tune)
    component["xep_0356"].send_privileged_message(event)
    heard = await juliet.find(juliet.messages, is_event, "the event")
    equal((heard["from"].full, heard["type"]), (bare, "headline"), "from whom")
