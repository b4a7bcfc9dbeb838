"""Notifications for a phone that is away: a push service on slixmpp (XEP-0357), and an endpoint of web push that reads with
Mozilla's libraries what it gets (RFC 8030, 8291, 8292)."""

import asyncio
import json
import ssl
from base64 import urlsafe_b64encode
from xml.etree import ElementTree

import http_ece
import py_vapid
import slixmpp
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from breaks import come_back, gone, resumable
from check import check, equal, expect, within
from server import sign
from terminal import own_folder
from xmpp import PATIENCE, SILENCE, login

PUBSUB = "{http://jabber.org/protocol/pubsub}"
PUSH = "{urn:xmpp:push:0}"
WEB_PUSH = "{waxwing:web-push:0}"
FORM = "{jabber:x:data}"
NODE = "node of a phone"


class Queue(asyncio.Queue):
    async def next(self):
        return await within(PATIENCE, self.get(), "a notification")

    async def nothing(self):
        await asyncio.sleep(SILENCE)
        expect(self.empty(), "there was a notification")


class Service(slixmpp.ComponentXMPP):
    """A push service; it takes everything."""

    def __init__(self, server):
        domain, secret = server.components["push"]
        super().__init__(domain, secret, server.component_host, server.component_port)
        self.seated, self.ended, self.told = asyncio.Event(), asyncio.Event(), Queue()
        self.add_event_handler("session_start", lambda _: self.seated.set())
        self.add_event_handler("disconnected", lambda _: self.ended.set())
        published = MatchXPath(f"{{jabber:component:accept}}iq/{PUBSUB}pubsub")
        self.register_handler(Callback("published", published, self.take))

    def take(self, iq):
        publish = iq.xml.find(f"{PUBSUB}pubsub/{PUBSUB}publish")
        fields = publish.iterfind(f"{PUBSUB}item/{PUSH}notification/{FORM}x/{FORM}field")
        values = {field.get("var"): field.findtext(f"{FORM}value") for field in fields}
        self.told.put_nowait((iq["from"].full, publish.get("node"), values))
        iq.reply(clear=True).send()

    async def close(self):
        self.cancel_connection_attempt()
        if not self.ended.is_set():
            self.disconnect(wait=5.0)
            await within(PATIENCE, self.ended.wait(), "the end of the push service")


async def attached(case):
    service = Service(case.server)
    case.closing(service.close)
    service.connect()
    await within(PATIENCE, service.seated.wait(), "the push service's coming in")
    return service


async def ask(client, element):
    iq = client.make_iq_set()
    iq.append(element)
    equal((await client.request(iq))["type"], "result", "the answer to a registration")


def summary(count):
    return {"FORM_TYPE": "urn:xmpp:push:summary", "message-count": str(count), "last-message-body": "New message"}


@check("slixmpp", "a push service hears of messages while a phone is detached or gone, and of nothing while it is there")
async def service(case):
    service = await attached(case)
    account = await case.account("juliet")
    phone = await resumable(case, account)
    await ask(phone, ElementTree.Element(f"{PUSH}enable", jid=service.boundjid.bare, node=NODE))
    romeo = await login(case, await case.account("romeo"))
    romeo.send_message(account.address, "one", mtype="chat")
    await phone.message("one")
    await service.told.nothing()
    phone["xep_0198"].send_ack()
    await phone["xep_0199"].ping(timeout=PATIENCE)
    phone.abort()
    await gone(phone)
    romeo.send_message(account.address, "two", mtype="chat")
    equal(await service.told.next(), (account.address, NODE, summary(1)), "what is told")
    await come_back(phone, case.server)
    await phone.message("two")
    romeo.send_message(account.address, "three", mtype="chat")
    await phone.message("three")
    await service.told.nothing()
    phone["xep_0198"].send_ack()
    await phone.close()
    romeo.send_message(account.address, "four", mtype="chat")
    equal(await service.told.next(), (account.address, NODE, summary(1)), "what is told")


class Endpoint:
    """A push service of the web, and the keys of the client behind it."""

    def __init__(self):
        self.posted = Queue()
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.auth = bytes(range(16))

    async def start(self, case):
        folder = own_folder(case.server.work)
        sign(case.server.ca, folder, ["localhost"])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        listener = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=context)
        case.closing(lambda: self.stop(listener))
        self.url = f"https://localhost:{listener.sockets[0].getsockname()[1]}/push/a-phone"
        return self

    async def stop(self, listener):
        listener.close()

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        self.posted.put_nowait((head[0], headers, body))

    def subscription(self):
        public = self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        enable = ElementTree.Element(f"{WEB_PUSH}enable", endpoint=self.url)
        for name, value in (("p256dh", public), ("auth", self.auth)):
            ElementTree.SubElement(enable, WEB_PUSH + name).text = urlsafe_b64encode(value).rstrip(b"=").decode()
        return enable

    async def next(self):
        """The headers and the message of the next request."""
        line, headers, body = await self.posted.next()
        equal(line, "POST /push/a-phone HTTP/1.1", "the request")
        text = http_ece.decrypt(body, private_key=self.key, auth_secret=self.auth, version=headers["content-encoding"])
        return headers, json.loads(text)


@check("slixmpp", "web push: the key is in disco#info, what is sent is signed with it, and only the client can read it")
async def web(case):
    endpoint = await Endpoint().start(case)
    account = await case.account("juliet")
    phone = await login(case, account)
    info = await phone["xep_0030"].get_info(account.address, timeout=PATIENCE)
    fields = info.xml.iterfind(f".//{FORM}field[@var='application-server-key']/{FORM}value")
    keys = [field.text for field in fields]
    equal(len(keys), 1, "keys of the server")
    await ask(phone, endpoint.subscription())
    await phone.close()
    romeo = await login(case, await case.account("romeo"))
    romeo.send_message(account.address, "O Juliet", mtype="chat")
    headers, told = await endpoint.next()
    equal(told, {"account": account.address, "messages": 1}, "what is told")
    expect(headers["authorization"].endswith(f",k={keys[0]}"), "another key than in disco#info")
    expect(py_vapid.Vapid.verify(headers["authorization"]), "it is not signed with that key")
    equal((headers["ttl"], headers["urgency"]), ("86400", "normal"), "headers")
    await endpoint.posted.nothing()


@check("slixmpp", "a member of a room who is away is woken by what is said there, and finds it all when it comes back")
async def member(case):
    service = await attached(case)
    account = await case.account("juliet")
    plugins = ("xep_0004", "xep_0045", "xep_0059", "xep_0313")
    phone = await login(case, account, plugins=plugins)
    await ask(phone, ElementTree.Element(f"{PUSH}enable", jid=service.boundjid.bare, node=NODE))
    await phone.close()
    room = slixmpp.JID(f"tomb@conference.{case.server.domain}")
    romeo = await login(case, await case.account("romeo"), plugins=plugins)
    await romeo["xep_0045"].join_muc_wait(room, "romeo", timeout=PATIENCE)
    form = await romeo["xep_0045"].get_room_config(room)
    form["type"] = "submit"
    for name, value in {"persistentroom": True, "membersonly": True, "publicroom": False}.items():
        form.get_fields()[f"muc#roomconfig_{name}"]["value"] = value
    await romeo["xep_0045"].set_room_config(room, form)
    await romeo["xep_0045"].set_affiliation(room, "member", jid=account.address)
    said = [f"how oft when men are at the point of death, {number}" for number in range(40)]
    for text in said:
        romeo.send_message(room, text, mtype="groupchat")
        await romeo.message(text)
    equal((await service.told.next())[:2], (account.address, NODE), "who is told")
    phone = await login(case, account, plugins=plugins)
    page = await phone["xep_0313"].retrieve(jid=room, timeout=PATIENCE)
    found = [m["mam_result"]["forwarded"]["stanza"]["body"] for m in page["mam"]["results"]]
    equal(found, said, "archive")
    _, _, _, history = await phone["xep_0045"].join_muc_wait(room, "juliet", maxstanzas=100, timeout=PATIENCE)
    equal([message["body"] for message in history], said[-50:][-len(history):], "history")
