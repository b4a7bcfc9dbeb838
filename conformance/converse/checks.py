"""Converse.js in headless Chromium, with slixmpp on the other side."""

import asyncio
import json
import shutil
import ssl
import urllib.request
from pathlib import Path

from check import Skip, check, equal, expect
from program import Program
from spki import key_hash
from xmpp import login

SCRIPT = Path(__file__).with_name("client.mjs")
SERVED = Path(__file__).with_name("served.mjs")

# Where each of its transports is.
PATHS = {"websocket": "wss://{}/xmpp-websocket", "bosh": "https://{}/http-bind"}


def tools(server):
    """The folder of packages, and the browser."""
    folder, chromium = server.work / "npm", shutil.which("chromium")
    if shutil.which("node") is None or not (folder / "node_modules/converse.js").exists():
        raise Skip("no Node.js here")
    if chromium is None:
        raise Skip("no Chromium here")
    return folder, chromium


async def converse(case, account, kind, picture):
    server = case.server
    folder, chromium = tools(server)
    place = f"{server.domain}:{server.port}"
    service = PATHS[kind].format(place)
    command = ["node", SCRIPT, folder, chromium, key_hash(server), f"https://{place}", kind, service]
    return await Program.start(case, [*command, account.address, account.password, server.work / picture])


async def act(program, name, **what):
    await program.send(json.dumps({"act": name, **what}))


async def talk(case, kind):
    """Log in, chat both ways, a room; what is seen is seen."""
    account = await case.account("romeo")
    juliet = await login(case, await case.account("juliet"))
    program = await converse(case, account, kind, f"converse-{kind}.png")
    await program.line("online", patience=45)
    await act(program, "chat", to=juliet.boundjid.bare, body="what light through yonder window?")
    message = await juliet.message("what light through yonder window?")
    juliet.send_message(message["from"], "ay me", mtype="chat")
    await act(program, "shown", text="ay me")
    await program.line("shown ay me")
    await act(program, "room", room=f"balcony@conference.{case.server.domain}", body="he jests at scars")
    await act(program, "shown", text="he jests at scars")
    await program.line("shown he jests at scars")
    equal(await program.ended(), 0, "exit status")


@check("converse", "WebSocket: log in, chat both ways, a room", limit=120)
async def websocket(case):
    await talk(case, "websocket")


@check("converse", "BOSH: log in, chat both ways, a room", limit=120)
async def bosh(case):
    await talk(case, "bosh")


@check("converse", "uploads a picture, which comes down as it is and is painted; its bookmark is there for other clients", limit=120)
async def pictures(case):
    server = case.server
    account = await case.account("romeo")
    juliet = await login(case, await case.account("juliet"))
    program = await converse(case, account, "websocket", "converse-picture.png")
    await program.line("online", patience=45)
    await act(program, "picture", to=juliet.boundjid.bare, side=64)
    await program.line("upload is offered", patience=60)
    said = await juliet.find(juliet.messages, lambda message: message["body"], "a message with an address")
    url = said["body"]
    expect("/upload/" in url, f"what came is {url!r}")
    trust = ssl.create_default_context(cafile=server.ca)
    got = await asyncio.to_thread(lambda: urllib.request.urlopen(url, context=trust, timeout=15).read())
    expect(got.startswith(b"\x89PNG"), f"what comes down begins with {got[:8]}")
    await act(program, "painted", url=url)
    await program.line(f"painted 64 {url}")
    room = f"orchard@conference.{server.domain}"
    await act(program, "bookmark", room=room, title="The orchard", nick="romeo")
    await program.line(f"bookmarked {room}")
    other = await login(case, account, "other", plugins=["xep_0402", "xep_0060"])
    found = await other["xep_0060"].get_items(other.boundjid.bare, "urn:xmpp:bookmarks:1", timeout=15)
    found = {item["id"]: item.xml[0] for item in found["pubsub"]["items"]}
    equal(found[room].get("name"), "The orchard", "the name of the bookmark")
    equal(await program.ended(), 0, "exit status")


@check("converse", "the page that the server has of it: log in by its form; nothing but sponsors' pictures comes from elsewhere, nothing is refused", limit=120)
async def served(case):
    server = case.server
    folder, chromium = tools(server)
    account = await case.account("romeo")
    phone = await login(case, account)
    command = ["node", SERVED, folder, chromium, key_hash(server), f"{server.url}/chat", account.address, account.password]
    program = await Program.start(case, [*command, server.work / "converse-served.png"])
    await program.line("seen", patience=60)
    page = await phone.find(phone.presences, lambda p: p["from"] != phone.boundjid, "the presence of the page")
    equal(page["from"].bare, account.address, "whose page it is")
    # Converse.js shows them below the form.
    sponsors = "foreign https://conversejs.org/media/logos/"
    odd = [line for line in program.seen if line.startswith(("foreign", "refused")) and not line.startswith(sponsors)]
    equal(odd, [], "what the page asked elsewhere, or was refused")
    equal(await program.ended(), 0, "exit status")
