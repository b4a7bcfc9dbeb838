"""slixmpp as the checks use it: what comes in is kept in queues, nothing is answered by itself."""

import asyncio
import ssl

import slixmpp
from slixmpp.exceptions import IqError, IqTimeout
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath, StanzaPath

from check import Wrong, within

# How long something that should come may take on a loaded machine, and how long is waited for what should not.
PATIENCE = 15
SILENCE = 1.0


class Refused(Exception):
    """The login came to nothing; `reasons` are names of SASL, stream or TLS errors."""

    def __init__(self, reasons):
        super().__init__(", ".join(reasons) or "disconnected without a reason")
        self.reasons = reasons


class Client(slixmpp.ClientXMPP):
    def __init__(self, server, jid, password, *, ca=None, mechanism=None, direct=False, tls=None, plugins=()):
        super().__init__(jid, password, sasl_mech=mechanism)
        self.address_of_server = (server.host, server.port)
        self.ca_certs = ca or server.ca
        self.enable_direct_tls, self.enable_starttls, self.enable_plaintext = direct, not direct, False
        self.keys_of_tls(tls)
        self.auto_authorize, self.auto_subscribe = None, False
        for plugin in ("xep_0030", "xep_0199", "xep_0203", *plugins):
            self.register_plugin(plugin)
        self.reasons, self.stream_features = [], []
        self.messages, self.presences, self.pushes = asyncio.Queue(), asyncio.Queue(), asyncio.Queue()
        self.seated, self.ended = asyncio.Event(), asyncio.Event()
        self.listen()

    def keys_of_tls(self, version):
        if version is not None:
            self.ssl_context.minimum_version = self.ssl_context.maximum_version = version

    def listen(self):
        on = self.add_event_handler
        on("session_start", lambda _: self.seated.set())
        on("disconnected", lambda _: self.ended.set())
        on("failed_auth", lambda failure: self.reasons.append(failure["condition"]))
        on("no_auth", lambda _: self.reasons.append("no mechanism"))
        on("stream_error", lambda error: self.reasons.append(error["condition"]))
        on("ssl_invalid_chain", self.untrusted)
        on("connection_failed", self.untrusted)
        self.register_handler(Callback("messages", StanzaPath("message"), self.messages.put_nowait))
        self.register_handler(Callback("presences", StanzaPath("presence"), self.presences.put_nowait))
        self.register_handler(Callback("pushes", StanzaPath("iq@type=set/roster"), self.pushes.put_nowait))
        features = MatchXPath("{http://etherx.jabber.org/streams}features")
        self.register_handler(Callback("features seen", features, lambda f: self.stream_features.append(f.xml)))

    def untrusted(self, error):
        verified = isinstance(error, ssl.SSLCertVerificationError)
        self.reasons.append("untrusted" if verified else str(error))
        self.cancel_connection_attempt()
        self.abort()
        self.ended.set()

    async def login(self):
        """Returns when the resource is bound; no presence is sent yet."""
        self.connect(*self.address_of_server)
        waits = [asyncio.ensure_future(event.wait()) for event in (self.seated, self.ended)]
        try:
            await within(PATIENCE, asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED), "login or refusal")
        finally:
            for wait in waits:
                wait.cancel()
        if not self.seated.is_set():
            raise Refused(self.reasons)
        return self

    async def over(self):
        """The reasons once the session has ended."""
        await within(PATIENCE, self.ended.wait(), f"the end of {self.boundjid}")
        return self.reasons

    async def close(self):
        self.cancel_connection_attempt()
        if not self.ended.is_set():
            self.disconnect(wait=5.0)
            await within(PATIENCE, self.ended.wait(), f"the server closing the stream of {self.boundjid}")

    def cut(self):
        """The connection is lost without a word."""
        self.transport.abort()

    async def message(self, body=None):
        """The next message (with this body)."""
        return await self.find(self.messages, lambda m: body is None or m["body"] == body, f"message {body or ''}")

    async def presence(self, source, type="available"):
        """The next presence of that type from that address, or from a resource of it."""
        source = slixmpp.JID(source)

        def right(presence):
            found = presence["from"] if source.resource else presence["from"].bare
            kind = presence._get_attr("type") or "available"
            return found == (source if source.resource else source.bare) and kind == type

        return await self.find(self.presences, right, f"presence {type} from {source}")

    async def is_present(self):
        """Waits for its own presence. That of others may come before it, and can still be asked for."""
        before = []

        def own(presence):
            mine = presence["from"] == self.boundjid and not presence._get_attr("type")
            if not mine:
                before.append(presence)
            return mine

        await self.find(self.presences, own, f"presence of {self.boundjid} itself")
        for presence in before:
            self.presences.put_nowait(presence)

    async def push(self, jid):
        """What the next roster push says about that contact."""
        item = lambda push: push["roster"]["items"].get(slixmpp.JID(jid))
        return item(await self.find(self.pushes, item, f"roster push for {jid}"))

    async def find(self, queue, right, what):
        async def search():
            while True:
                stanza = await queue.get()
                if right(stanza):
                    return stanza

        return await within(PATIENCE, search(), f"{what} at {self.boundjid}")

    async def no_message(self):
        """Fails if a message comes within a while."""
        try:
            async with asyncio.timeout(SILENCE):
                message = await self.messages.get()
        except TimeoutError:
            return
        raise Wrong(f"{self.boundjid} got {message}")

    async def request(self, iq):
        """The result, or the error as an iq."""
        try:
            return await iq.send(timeout=PATIENCE)
        except IqError as error:
            return error.iq
        except IqTimeout:
            raise Wrong(f"no answer to {iq}") from None


async def login(case, account, resource=None, *, available=True, priority=None, password=None, **options):
    """A client that is logged in, and available unless told otherwise; it is closed with the case."""
    jid = f"{account.address}/{resource}" if resource else account.address
    client = Client(case.server, jid, password or account.password, **options)
    case.closing(client.close)
    await client.login()
    if available:
        client.send_presence(ppriority=priority)
        await client.presence(client.boundjid.full)
    return client


async def refused(case, account, **options):
    """The reasons for which a login is refused."""
    try:
        await login(case, account, **options)
    except Refused as refused:
        return refused.reasons
    raise Wrong("the login was accepted")


async def befriend(one, other):
    """Makes each see the other's presence; both are available."""
    for asker, asked in ((one, other), (other, one)):
        asker.send_presence_subscription(asked.boundjid.bare)
        await asked.presence(asker.boundjid.bare, "subscribe")
        asked.send_presence(pto=asker.boundjid.bare, ptype="subscribed")
        await asker.presence(asked.boundjid.full)


def condition(iq):
    """The condition of an error; None for a result."""
    return iq["error"]["condition"] if iq["type"] == "error" else None
