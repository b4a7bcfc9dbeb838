"""What people publish with their account: pictures, bookmarks, keys; seen by the libraries of clients."""

import asyncio
import hashlib

from check import check, equal, within
from sealed import equipped, hear, say
from xmpp import PATIENCE, befriend, login

BOOKMARKS = "urn:xmpp:bookmarks:1"
PNG = bytes.fromhex("89504e470d0a1a0a") + bytes(500)


async def announced(case, name, plugins):
    """A client that announces its capabilities, and what these plugins want to hear of."""
    account = await case.account(name)
    client = await login(case, account, "pep", available=False, plugins=["xep_0115", "xep_0163", *plugins])
    return client


async def online(client):
    await client["xep_0115"].update_caps()
    client.send_presence()


@check("slixmpp", "a picture that one publishes is announced to contacts, fetched by them, and in the vCard")
async def avatar(case):
    romeo = await announced(case, "romeo", ["xep_0084", "xep_0054"])
    juliet = await announced(case, "juliet", ["xep_0084", "xep_0054"])
    heard = asyncio.Queue()
    juliet.add_event_handler("avatar_metadata_publish", heard.put_nowait)
    for client in (romeo, juliet):
        await online(client)
    await befriend(romeo, juliet)
    hash_of = hashlib.sha1(PNG).hexdigest()
    await romeo["xep_0084"].publish_avatar(PNG, timeout=PATIENCE)
    info = {"id": hash_of, "type": "image/png", "bytes": len(PNG)}
    await romeo["xep_0084"].publish_avatar_metadata([info], timeout=PATIENCE)
    event = await within(PATIENCE, heard.get(), "an event")
    equal(event["from"].full, romeo.boundjid.bare, "from")
    data = await juliet["xep_0084"].retrieve_avatar(event["from"], hash_of, timeout=PATIENCE)
    equal(data["pubsub"]["items"]["item"]["avatar_data"]["value"], PNG, "the picture")


@check("slixmpp", "bookmarks are the same in XEP-0402, in XEP-0048 and in private XML")
async def bookmarks(case):
    romeo = await announced(case, "romeo", ["xep_0048", "xep_0049", "xep_0223"])
    await online(romeo)
    await publish_bookmark(romeo)
    for method in ("xep_0223", "xep_0049"):
        answer = await romeo["xep_0048"].get_bookmarks(method=method, timeout=PATIENCE)
        if method == "xep_0223":
            found = answer["pubsub"]["items"]["item"]["bookmarks"]
        else:
            found = answer["private"]["bookmarks"]
        rooms = [(str(room["jid"]), room["name"], room["nick"]) for room in found["conferences"]]
        equal(rooms, [("play@rooms.example", "Play", "JC")], f"by {method}")


async def publish_bookmark(client):
    from slixmpp.plugins.xep_0402 import stanza

    conference = stanza.Conference()
    conference["name"], conference["nick"], conference["autojoin"] = "Play", "JC", True
    options = client["xep_0004"].make_form(ftype="submit")
    options.add_field(
        "FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/pubsub#publish-options"
    )
    for name, value in (
        ("persist_items", "true"),
        ("max_items", "max"),
        ("send_last_published_item", "never"),
        ("access_model", "whitelist"),
    ):
        options.add_field(f"pubsub#{name}", value=value)
    await client["xep_0060"].publish(
        client.boundjid.bare, BOOKMARKS, id="play@rooms.example", payload=conference, options=options, timeout=PATIENCE
    )


@check("slixmpp", "OMEMO (slixmpp-omemo): two people publish keys and write to each other")
async def omemo(case):
    romeo, juliet = [await equipped(case, await case.account(name)) for name in ("romeo", "juliet")]
    await befriend(romeo, juliet)
    for one, other in ((romeo, juliet), (juliet, romeo)):
        await say(one, other.boundjid.bare, "wherefore")
        equal(await hear(other), "wherefore", "body")
