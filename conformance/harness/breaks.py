"""Connections that break and servers that end, in the middle of a burst, and what must have come all the same."""

import asyncio
import json
import re

from check import Wrong, equal, expect, within
from server import Server
from terminal import own_folder
from xmpp import PATIENCE, login

COUNT = 60

# Sent at once; then the connection breaks.
PART = 20


class Wire:
    """What clients take for the server: it carries everything to the one that runs, until it is cut."""

    host = "127.0.0.1"

    @classmethod
    async def start(cls, case):
        self = cls()
        self.server, self.port, self.carrying = case.server, 0, set()
        await self.listen()

        async def close():
            self.refuse()
            self.cut()

        case.closing(close)
        return self

    async def listen(self):
        self.listener = await asyncio.start_server(self.carry, self.host, self.port)
        self.port = self.listener.sockets[0].getsockname()[1]

    def refuse(self):
        """Nobody comes any more; who is there stays."""
        self.listener.close()

    async def carry(self, reader, writer):
        try:
            inner_reader, inner_writer = await asyncio.open_connection(self.server.host, self.server.port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer.transport, inner_writer.transport}
        self.carrying |= ends
        try:
            await asyncio.gather(pour(reader, inner_writer), pour(inner_reader, writer))
        except OSError:
            for transport in ends:
                transport.abort()
        self.carrying -= ends

    def cut(self):
        """Nobody is told."""
        for transport in self.carrying:
            transport.abort()


async def pour(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def own_server(case, *settings):
    """A server that the case may end, with settings of its own."""
    server = Server(case.server.binary, own_folder(case.server.work), settings)
    (server.work / "npm").symlink_to(case.server.work / "npm")
    await server.start()
    case.closing(server.stop)
    case.server = server
    return server


async def resumable(case, account, **options):
    """A session of slixmpp that can be gone on with."""
    client = await login(case, account, available=False, plugins=["xep_0198", "xep_0359"], **options)
    client.resumed = asyncio.Event()
    client.add_event_handler("session_resumed", lambda _: client.resumed.set())
    for _ in range(PATIENCE * 10):
        if client["xep_0198"].sm_id:
            break
        await asyncio.sleep(0.1)
    expect(client["xep_0198"].sm_id, "no id to resume by")
    client.send_presence()
    await client["xep_0199"].ping(timeout=PATIENCE)
    return client


async def come_back(client, server):
    client.ended.clear()
    client.resumed.clear()
    client.connect(server.host, server.port)
    await within(PATIENCE, client.resumed.wait(), "the session again")


async def another(server, wire, ended):
    """The server has ended, or is about to; another takes its place. Meanwhile nobody answers."""
    wire.refuse()
    ended = await ended
    await server.serve()
    await wire.listen()
    return ended


async def gone(client):
    await within(PATIENCE, client.ended.wait(), "the end of a connection")


async def acknowledged(client):
    """The server has said that it has everything."""
    for _ in range(PATIENCE * 10):
        if not client["xep_0198"].unacked_queue:
            return
        # What is on its way to the disk is not acknowledged yet.
        client["xep_0198"].request_ack()
        await asyncio.sleep(0.1)
    raise Wrong("not acknowledged")


async def speak(client, to, numbers):
    """One of slixmpp says the numbers."""
    for number in numbers:
        client.send_message(to, str(number), mtype="chat")


async def tell(program, to, numbers):
    """A program is told to say them."""
    for number in numbers:
        await program.send(json.dumps({"to": to, "body": str(number), "id": f"burst-{number}"}))


async def heard(client, came=(), last=COUNT - 1):
    """What came to one of slixmpp, after what came before: each number, and its id in the archive."""
    came = list(came)
    while all(number != last for number, _ in came):
        try:
            message = await client.message()
        except Wrong:
            raise Wrong(f"{last} did not come; there came {[number for number, _ in came]}") from None
        came.append(numbered(message))
    return came


def waiting(client):
    """What has come to it already."""
    return [numbered(client.messages.get_nowait()) for _ in range(client.messages.qsize())]


def numbered(message):
    return int(message["body"]), message["stanza_id"]["id"]


async def printed(program, last=COUNT - 1):
    """What came to a program."""
    came = []
    while not came or came[-1][0] != last:
        line = await program.line_if(lambda line: line.startswith("message "), f"the message {last}")
        number, archived = re.search(r"(\d+) \[(.*)\]$", line).groups()
        came.append((int(number), archived))
    return came


def complete(came, who, upto=COUNT):
    """Everything has come once and in order. What was not acknowledged may come again, but as the same."""
    first = {}
    for number, archived in came:
        expect(archived, f"{number} has no id in the archive")
        equal(first.setdefault(archived, number), number, f"what came as {archived}")
    equal(list(first.values()), list(range(upto)), f"messages to {who}")
