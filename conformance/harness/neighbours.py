"""A waxwing and a server that others wrote, which find each other by a DNS of their own."""

import asyncio
import itertools
import os
import re
import subprocess
from pathlib import Path

from check import Wrong, check, equal, within
from nameserver import NameServer
from peers import Ejabberd, Peer, Prosody
from server import Server, certify_late, make_ca, sign
from signed import SignedNames, tlsa
from terminal import own_folder
from xmpp import PATIENCE, Client, condition

# Not below .test, which resolvers answer themselves.
OURS, THEIRS = "verona.lit", "mantua.lit"

CONFIG = """
[server]
data_dir = "{work}/data"

[hosts."{domain}"]
certificate = "{work}/server.pem"
key = "{work}/server.key"

[[listen]]
address = "127.0.0.1:0"

[federation]
enabled = true
listen = ["{host}:15269"]
authorities = ["{authorities}"]
dns_servers = ["{dns_host}:{dns_port}"]
demand = "{demand}"
dane = "{dane}"
bidi = {bidi}
connect_timeout = "4s"
retry = "1s"
retry_max = "1s"
give_up_after = "{give_up_after}"
queue_messages = {queue_messages}

[auth]
scram_iterations = 4096

[log]
level = "debug"

{more}
"""

SECOND = """
[hosts."{domain}"]
certificate = "{work}/server.pem"
key = "{work}/server.key"
"""

NUMBERS = itertools.count(1)


def rooms_of(domain):
    return f"conference.{domain}"


def nodes_of(domain):
    return f"pubsub.{domain}"


def loopback():
    """An address that nobody else uses."""
    high, low = (os.getpid() >> 8) & 63, os.getpid() & 255
    return f"127.{64 | high}.{low}.{next(NUMBERS)}"


class Waxwing(Server):
    """The one under test; `servers` is where other servers reach it."""

    domain = OURS

    def __init__(self, binary, folder, servers):
        super().__init__(binary, folder)
        self.servers = servers

    def configure(self, **values):
        text = CONFIG.format(work=self.work, domain=OURS, host=self.servers, **values)
        (self.work / "waxwing.toml").write_text(text)

    async def serve(self):
        with self.log.open("ab") as log:
            begin = log.tell()
            self.process = await asyncio.create_subprocess_exec(*self.command("serve"), stderr=log)
        for _ in range(300):
            text = self.log.read_text(errors="replace")[begin:]
            if self.process.returncode is not None:
                break
            if listening := re.search(r"clients can connect address=127\.0\.0\.1:(\d+)", text):
                self.port = int(listening[1])
                return
            await asyncio.sleep(0.1)
        raise Wrong(f"waxwing does not start: {text[-500:]}")

    async def ask(self, *arguments):
        """What an administrative command prints."""
        process = await asyncio.create_subprocess_exec(
            *self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output, _ = await process.communicate()
        return output.decode()


class Neighbours:
    """`own` is the waxwing, `peer` the other; `names` their DNS."""

    def __init__(self, case):
        self.case = case
        self.folder = Path(own_folder(case.server.work))

    @classmethod
    async def settle(
        cls, case, kind, *, proof="EXTERNAL", bidi=True, direct=False, give_up_after="2d", queue_messages=1000, peer=True,
        second=None, rooms=False, nodes=False, dane="off",
        more=""
    ):
        """`second` is another domain of ours; with `rooms` each has some, at a domain of their own; with `nodes` theirs has a pubsub service. `more` is for our configuration. `proof`: how each proves its domain to the other; with "dialback" both have certificates nobody believes. Unless `dane` is "off" what we find in DNS is signed."""
        self = cls(case)
        certified = proof == "EXTERNAL"
        self.names = await NameServer.start(case, loopback())
        ca, unknown = self.folder / "ca/ca.pem", self.folder / "unknown/ca.pem"
        for authority in (ca, unknown):
            make_ca(authority)
        self.ca = ca if certified else unknown
        folders = {domain: self.folder / domain for domain in (OURS, THEIRS)}
        for domain, folder in folders.items():
            folder.mkdir()
            names = [domain, *([second] if second and domain == OURS else []), *([rooms_of(domain)] if rooms else [])]
            names += [nodes_of(domain)] if nodes and domain == THEIRS else []
            sign(self.ca, folder, names, kind.usage)
        self.own = Waxwing(case.server.binary, folders[OURS], loopback())
        self.own.ca = self.ca
        self.signed = await SignedNames.start(case, self.folder / "dns", loopback()) if dane != "off" else None
        asked = self.signed or self.names
        self.own.configure(
            authorities=ca,
            dns_host=asked.host,
            dns_port=asked.port,
            dane=dane,
            demand="require-valid-certificate" if certified else "dialback-over-tls",
            bidi="true" if bidi else "false",
            give_up_after=give_up_after,
            queue_messages=queue_messages,
            more=more + (SECOND.format(work=folders[OURS], domain=second) if second else ""),
        )
        self.peer = kind(folders[THEIRS], loopback(), THEIRS, ca, self.ca, self.names)
        self.plugins = (*(("xep_0045", "xep_0004") if rooms else ()), *(("xep_0060",) if nodes else ()))
        self.peer.rooms = rooms_of(THEIRS) if rooms else None
        self.peer.nodes = nodes_of(THEIRS) if nodes else None
        self.peer.configure(certified=certified, bidi=bidi)
        self.true_names(direct)
        if self.signed:
            await self.signed.publish(self.records())
        if rooms:
            for domain, host in ((OURS, self.peer.finds(f"xmpp.{OURS}", self.own.servers)), (THEIRS, f"xmpp.{THEIRS}")):
                self.names.service(rooms_of(domain), (5, 5, Peer.server_port, host))
        if nodes:
            self.names.service(nodes_of(THEIRS), (5, 5, Peer.server_port, f"xmpp.{THEIRS}"))
        if second:
            self.names.service(second, (5, 5, Peer.server_port, self.peer.finds(f"xmpp.{OURS}", self.own.servers)))
        case.closing(self.leave)
        starts = [self.own.serve()] + ([self.peer.start()] if peer else [])
        await asyncio.gather(*starts)
        return self

    def true_names(self, direct=False):
        for domain, ip in ((OURS, self.own.servers), (THEIRS, self.peer.host)):
            host = f"xmpp.{domain}" if domain == THEIRS else self.peer.finds(f"xmpp.{domain}", ip)
            self.names.address(f"xmpp.{domain}", ip)
            port = Peer.server_port if domain == OURS or not direct else Peer.direct_port
            self.names.service(domain, (5, 5, port, host), direct=direct)

    def records(self):
        """Where they are and which certificate they have, as their zone says."""
        host = f"xmpp.{THEIRS}"
        return [
            f"{host}. 60 A {self.peer.host}",
            f"_xmpp-server._tcp.{THEIRS}. 60 SRV 5 5 {Peer.server_port} {host}.",
            tlsa(host, Peer.server_port, self.folder / THEIRS / "server.pem"),
        ]

    async def leave(self):
        await self.peer.stop()
        if self.own.process.returncode is None:
            await self.own.stop()

    async def people(self):
        """Romeo here and Juliet there, both available."""
        self.romeo_account = await self.own.new_account("romeo", OURS)
        self.juliet_account = await self.peer.new_account("juliet")
        return await self.romeo(), await self.juliet()

    async def romeo(self):
        return await self.enter(self.own, self.romeo_account)

    async def juliet(self):
        return await self.enter(self.peer, self.juliet_account)

    async def enter(self, server, account):
        # What the waxwing has acknowledged is its to deliver.
        plugins = ("xep_0054", "xep_0092", *self.plugins, *(["xep_0198"] if server is self.own else []))
        client = Client(server, f"{account.address}/r", account.password, ca=self.ca, plugins=plugins)
        self.case.closing(client.close)
        await client.login()
        client.send_presence()
        await client.is_present()
        return client

    def certificate(self, server, names, *, expired=False):
        """Gives `server` a certificate for these names, or one that has expired; it has to be restarted."""
        folder = self.folder / server.domain
        sign(self.ca, folder, names, self.peer.usage)
        if expired:
            certify_late(self.ca, folder)

    async def links(self):
        """The lines of `s2s list` that are about the other."""
        text = await self.own.ask("s2s", "list")
        return [line for line in text.splitlines() if THEIRS in line]

    async def linked(self, right, what):
        """Waits for links of which `right` is true."""

        async def search():
            while not right(links := await self.links()):
                await asyncio.sleep(0.3)
            return links

        return await within(15, search(), what)

    async def delivered(self):
        """Nothing is left in the outbox. Who logs in then gets everything in order: no server delivers while it stores."""
        await self.linked(lambda links: links and all(link.split()[-1] == "0" for link in links), "an empty outbox")


async def there_and_back(one, other, count=20):
    """Messages by turns, then many at once; each once, in order."""
    for sender, receiver in ((one, other), (other, one)):
        for number in range(count):
            sender.send_message(receiver.boundjid.bare, f"number {number}", mtype="chat")
        bodies = [(await receiver.message())["body"] for _ in range(count)]
        equal(bodies, [f"number {number}" for number in range(count)], f"messages from {sender.boundjid.bare}")


async def reason(client, words, patience=PATIENCE):
    """Asks the other server until the error says this."""
    texts = []

    async def ask():
        while True:
            answer = await client.request(client.make_iq_get("urn:xmpp:ping", THEIRS))
            texts.append(answer["error"]["text"] if answer["type"] == "error" else "no error")
            if words in texts[-1]:
                return condition(answer)
            await asyncio.sleep(0.3)

    try:
        return await within(patience, ask(), f"an error that says {words!r}")
    except Exception as error:
        error.args = (f"{error}; it said {texts[-3:]}",)
        raise


def with_each(behaviour):
    """Registers a check for each of the other servers."""

    def register(body):
        for kind in (Prosody, Ejabberd):

            async def run(case, kind=kind):
                await body(case, kind)

            run.__name__ = body.__name__
            # Servers are started again and again.
            check(kind.name, behaviour, apart=True, limit=150.0)(run)
        return body

    return register
