"""A peer of WebRTC (aiortc) with an account: calls are signalled by Jingle (XEP-0166, XEP-0176, XEP-0343)."""

import asyncio
import re
from xml.etree import ElementTree

from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import AudioStreamTrack
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from check import equal, within
from xmpp import PATIENCE, login

JINGLE = "{urn:xmpp:jingle:1}"
RTP = "{urn:xmpp:jingle:apps:rtp:1}"
ICE = "{urn:xmpp:jingle:transports:ice-udp:1}"
DTLS = "{urn:xmpp:jingle:apps:dtls:0}"
SCTP = "{urn:xmpp:jingle:transports:dtls-sctp:1}"
GROUPING = "{urn:xmpp:jingle:apps:grouping:0}"
EXTDISCO = "{urn:xmpp:extdisco:2}"
# Frames of audio that each must hear.
FRAMES = 25


def jingle_of(sdp, action, sid):
    """What stands in a session description, as Jingle says it."""
    jingle = ElementTree.Element(f"{JINGLE}jingle", action=action, sid=sid)
    session, *media = re.split(r"(?m)^(?=m=)", sdp.replace("\r\n", "\n"))
    bundle = re.search(r"a=group:BUNDLE (.*)", session)
    group = ElementTree.SubElement(jingle, f"{GROUPING}group", semantics="BUNDLE")
    for mid in bundle[1].split():
        ElementTree.SubElement(group, f"{GROUPING}content", name=mid)
    for section in media:
        value = lambda name: re.search(rf"(?m)^a={name}:(.*)$", section)[1]
        content = ElementTree.SubElement(jingle, f"{JINGLE}content", creator="initiator", name=value("mid"))
        kind, _, _, *payloads = section.splitlines()[0].removeprefix("m=").split()
        description = ElementTree.SubElement(content, f"{RTP}description", media=kind)
        for number in payloads if kind == "audio" else []:
            found = re.search(rf"(?m)^a=rtpmap:{number} ([^/]+)/(\d+)(?:/(\d+))?$", section)
            payload = {"id": number, "name": found[1], "clockrate": found[2]} | ({"channels": found[3]} if found[3] else {})
            ElementTree.SubElement(description, f"{RTP}payload-type", payload)
        transport = ElementTree.SubElement(content, f"{ICE}transport", ufrag=value("ice-ufrag"), pwd=value("ice-pwd"))
        digest = re.search(r"(?m)^a=fingerprint:sha-256 (.*)$", section)[1]
        seal = ElementTree.SubElement(transport, f"{DTLS}fingerprint", hash="sha-256", setup=value("setup"))
        seal.text = digest
        if kind == "application":
            ElementTree.SubElement(transport, f"{SCTP}sctpmap", number=value("sctp-port"), protocol="webrtc-datachannel")
        for line in re.findall(r"(?m)^a=candidate:(.*)$", section):
            transport.append(candidate_of(line))
    return jingle


def candidate_of(line):
    foundation, component, protocol, priority, ip, port, _, kind = line.split()[:8]
    attributes = {"foundation": foundation, "component": component, "protocol": protocol, "priority": priority}
    return ElementTree.Element(f"{ICE}candidate", attributes | {"ip": ip, "port": port, "type": kind, "generation": "0"})


def sdp_of(jingle):
    """The other way round."""
    mids = [content.get("name") for content in jingle.iterfind(f"{GROUPING}group/{GROUPING}content")]
    lines = ["v=0", "o=- 1 1 IN IP4 0.0.0.0", "s=-", "t=0 0", f"a=group:BUNDLE {' '.join(mids)}", "a=msid-semantic:WMS *"]
    for content in jingle.iterfind(f"{JINGLE}content"):
        description, transport = content.find(f"{RTP}description"), content.find(f"{ICE}transport")
        payloads = list(description.iterfind(f"{RTP}payload-type"))
        if payloads:
            lines.append(f"m=audio 9 UDP/TLS/RTP/SAVPF {' '.join(payload.get('id') for payload in payloads)}")
        else:
            lines.append("m=application 9 UDP/DTLS/SCTP webrtc-datachannel")
        lines += ["c=IN IP4 0.0.0.0", f"a=mid:{content.get('name')}"]
        if payloads:
            lines += ["a=sendrecv", "a=rtcp-mux"]
        for payload in payloads:
            channels = f"/{payload.get('channels')}" if payload.get("channels") else ""
            lines.append(f"a=rtpmap:{payload.get('id')} {payload.get('name')}/{payload.get('clockrate')}{channels}")
        if (sctp := transport.find(f"{SCTP}sctpmap")) is not None:
            lines += [f"a=sctp-port:{sctp.get('number')}", "a=max-message-size:65536"]
        for candidate in transport.iterfind(f"{ICE}candidate"):
            at = [candidate.get(name) for name in ("foundation", "component", "protocol", "priority", "ip", "port")]
            lines.append(f"a=candidate:{' '.join(at)} typ {candidate.get('type')}")
        seal = transport.find(f"{DTLS}fingerprint")
        lines += [f"a=ice-ufrag:{transport.get('ufrag')}", f"a=ice-pwd:{transport.get('pwd')}"]
        lines += [f"a=fingerprint:{seal.get('hash')} {seal.text}", f"a=setup:{seal.get('setup')}"]
    return "\r\n".join(lines) + "\r\n"


class Phone:
    """An account with a peer of WebRTC."""

    def __init__(self, client, connection):
        self.client, self.connection = client, connection
        self.frames, self.said, self.sessions = asyncio.Queue(), asyncio.Queue(), asyncio.Queue()
        self.listening = []
        client.register_handler(Callback("calls", MatchXPath(f"{{jabber:client}}iq/{JINGLE}jingle"), self.take))
        connection.on("track", lambda track: self.listening.append(asyncio.ensure_future(self.hear(track))))
        connection.addTrack(AudioStreamTrack())

    @classmethod
    async def ready(cls, case, account, transport, kinds=("turn",)):
        """With the services of these kinds; by relays alone, where those are all."""
        client = await login(case, account, "phone")
        iq = client.make_iq_get(ito=case.server.domain)
        iq.append(ElementTree.Element(f"{EXTDISCO}services", type="turn"))
        answer = await client.request(iq)
        services = answer.xml.iterfind(f"{EXTDISCO}services/{EXTDISCO}service")
        turn = next(service for service in services if service.get("transport") == transport)
        # The name of the host is not in the DNS here.
        at = f"{case.server.host}:{turn.get('port')}"
        url = f"turn:{at}?transport={transport}"
        relay = RTCIceServer(urls=url, username=turn.get("username"), credential=turn.get("password"))
        servers = {"stun": RTCIceServer(urls=f"stun:{at}"), "turn": relay}
        policy = RTCIceTransportPolicy.ALL if "stun" in kinds else RTCIceTransportPolicy.RELAY
        servers = [servers[kind] for kind in kinds]
        phone = cls(client, RTCPeerConnection(RTCConfiguration(iceServers=servers, iceTransportPolicy=policy)))
        case.closing(phone.close)
        return phone

    def take(self, iq):
        iq.reply(clear=True).send()
        self.sessions.put_nowait((iq["from"], iq.xml.find(f"{JINGLE}jingle")))

    async def hear(self, track):
        while True:
            self.frames.put_nowait(await track.recv())

    def talk(self, channel):
        channel.on("message", self.said.put_nowait)

    async def send(self, to, action, sid="a call"):
        iq = self.client.make_iq_set(ito=to)
        iq.append(jingle_of(self.connection.localDescription.sdp, action, sid))
        equal((await self.client.request(iq))["type"], "result", f"the answer to {action}")

    async def next(self, action):
        peer, jingle = await within(PATIENCE, self.sessions.get(), action)
        equal(jingle.get("action"), action, "the action")
        return peer, sdp_of(jingle)

    async def meet(self, other):
        """Who is not seen is not called (RFC 6121 §8.5.3.2)."""
        self.client.send_presence(pto=other)
        await self.client.presence(other)

    async def call(self, other):
        """Calls, and is called by its name; the kinds of the two ends of the way that was found."""
        channel = self.connection.createDataChannel("words")
        self.talk(channel)
        await self.connection.setLocalDescription(await self.connection.createOffer())
        await self.send(other, "session-initiate")
        _, answer = await self.next("session-accept")
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        equal(await within(PATIENCE, self.said.get(), "a word from the other side"), "from the called", "the word")
        channel.send("from the caller")
        return await self.way()

    async def answer(self):
        """The other side of that."""
        self.connection.on("datachannel", lambda channel: (self.talk(channel), channel.send("from the called")))
        peer, offer = await self.next("session-initiate")
        await self.connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        await self.send(peer, "session-accept")
        equal(await within(PATIENCE, self.said.get(), "a word from the other side"), "from the caller", "the word")
        return await self.way()

    async def way(self):
        for _ in range(FRAMES):
            await within(PATIENCE, self.frames.get(), "a frame of audio")
        pair = self.connection.sctp.transport.transport._connection._nominated[1]
        return [pair.local_candidate.type, pair.remote_candidate.type]

    async def close(self):
        for listening in self.listening:
            listening.cancel()
        await self.connection.close()
