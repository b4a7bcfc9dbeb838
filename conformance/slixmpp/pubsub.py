"""Communities at a service and blogs of accounts, as Movim and Libervia make them (XEP-0060, XEP-0472)."""

import secrets
import xml.etree.ElementTree as ET

from slixmpp.exceptions import IqError

from check import check, equal, expect
from xmpp import PATIENCE, login

PLUGINS = ("xep_0004", "xep_0059", "xep_0060")
ATOM = "http://www.w3.org/2005/Atom"
RSM = "http://jabber.org/protocol/rsm"
CONFIG = "http://jabber.org/protocol/pubsub#node_config"
PUBLISH = "http://jabber.org/protocol/pubsub#publish-options"
MICROBLOG = "urn:xmpp:microblog:0"
ATTACHMENTS, SUMMARY = "urn:xmpp:pubsub-attachments:1", "urn:xmpp:pubsub-attachments:summary:1"


def entry(title):
    element = ET.Element(f"{{{ATOM}}}entry")
    for name, text in {"title": title, "id": f"tag:verona.lit,2008:{title}", "updated": "2008-05-08T18:30:02Z"}.items():
        ET.SubElement(element, f"{{{ATOM}}}{name}").text = text
    return element


def form(client, form_type, **fields):
    x = client["xep_0004"].make_form(ftype="submit")
    x.add_field(var="FORM_TYPE", ftype="hidden", value=form_type)
    for name, value in fields.items():
        x.add_field(var=f"pubsub#{name}", value=value)
    return x


async def page_of(client, service, node, after):
    """The ids of five items after one. By hand: slixmpp 1.17 iterates over disco alone."""
    iq = client.make_iq_get(ito=service)
    iq["pubsub"]["items"]["node"] = node
    rsm = ET.SubElement(iq["pubsub"].xml, f"{{{RSM}}}set")
    ET.SubElement(rsm, f"{{{RSM}}}max").text = "5"
    if after:
        ET.SubElement(rsm, f"{{{RSM}}}after").text = after
    answer = await iq.send(timeout=PATIENCE)
    return [item["id"] for item in answer["pubsub"]["items"]]


async def refused(request, condition):
    try:
        await request
    except IqError as error:
        return equal(error.iq["error"]["condition"], condition, "error")
    expect(False, f"it was done, and not refused with {condition}")


async def seat(case, name):
    """A client that is online, the plugin, and the service of its server."""
    client = await login(case, await case.account(name), plugins=PLUGINS)
    client.send_presence()
    await client.presence(client.boundjid.full)
    return client, client["xep_0060"], f"pubsub.{case.server.domain}"


@check("slixmpp", "a community: made, found, followed, written to, read page by page, emptied and deleted")
async def community(case):
    romeo, mine, service = await seat(case, "romeo")
    juliet, hers, _ = await seat(case, "juliet")
    node = f"community {secrets.token_hex(4)}"
    info = await romeo["xep_0030"].get_info(service, timeout=PATIENCE)
    expect(("pubsub", "service", None, None) in info["disco_info"]["identities"], "no pubsub service")
    options = dict(title="Verona", access_model="open", publish_model="open", max_items="max", type="urn:xmpp:microblog:0")
    await mine.create_node(service, node, config=form(romeo, CONFIG, **options), timeout=PATIENCE)
    nodes = await juliet["xep_0030"].get_items(service, timeout=PATIENCE)
    expect((service, node, "Verona") in nodes["disco_items"]["items"], "the node is not listed")
    config = (await mine.get_node_config(service, node, timeout=PATIENCE))["pubsub_owner"]["configure"]["form"]
    equal(config.get_values()["pubsub#type"], "urn:xmpp:microblog:0", "type")
    await hers.subscribe(service, node, timeout=PATIENCE)
    for number in range(12):
        await mine.publish(service, node, id=f"post-{number}", payload=entry(f"Post {number}"), timeout=PATIENCE)
    for number in range(12):
        event = await juliet.find(juliet.messages, lambda m: m["from"] == service, f"event {number}")
        equal(event["pubsub_event"]["items"]["item"]["id"], f"post-{number}", "item of the event")
    found, after = [], None
    while page := await page_of(juliet, service, node, after):
        found += page
        after = page[-1]
    equal(found, [f"post-{number}" for number in range(12)], "items")
    newest = await hers.get_items(service, node, max_items=2, timeout=PATIENCE)
    equal([item["id"] for item in newest["pubsub"]["items"]], ["post-10", "post-11"], "newest items")
    await hers.publish(service, node, id="reply", payload=entry("Reply"), timeout=PATIENCE)
    await refused(hers.retract(service, node, "post-1", timeout=PATIENCE), "forbidden")
    await hers.retract(service, node, "reply", notify=True, timeout=PATIENCE)
    await mine.purge(service, node, timeout=PATIENCE)
    empty = await hers.get_items(service, node, timeout=PATIENCE)
    equal(len(list(empty["pubsub"]["items"])), 0, "items of an emptied node")
    await refused(hers.delete_node(service, node, timeout=PATIENCE), "forbidden")
    await mine.delete_node(service, node, timeout=PATIENCE)
    await refused(hers.get_items(service, node, timeout=PATIENCE), "item-not-found")


@check("slixmpp", "options of publishing that do not hold are refused, and so is an option nobody knows")
async def publish_options(case):
    romeo, mine, service = await seat(case, "romeo")
    node = f"options {secrets.token_hex(4)}"
    await mine.create_node(service, node, timeout=PATIENCE)

    def publish(**fields):
        options = form(romeo, PUBLISH, **fields)
        return mine.publish(service, node, id="one", payload=entry("One"), options=options, timeout=PATIENCE)

    await publish(access_model="open", persist_items=True)
    await refused(publish(access_model="whitelist"), "conflict")
    await refused(publish(moon_phase="full"), "bad-request")
    await mine.set_node_config(service, node, form(romeo, CONFIG, access_model="whitelist"), timeout=PATIENCE)
    await publish(access_model="whitelist")


@check("slixmpp", "members, publishers and outcasts of a closed node")
async def affiliations_of_nodes(case):
    romeo, mine, service = await seat(case, "romeo")
    juliet, hers, _ = await seat(case, "juliet")
    node = f"closed {secrets.token_hex(4)}"
    config = form(romeo, CONFIG, access_model="whitelist")
    await mine.create_node(service, node, config=config, timeout=PATIENCE)
    await refused(hers.subscribe(service, node, timeout=PATIENCE), "not-allowed")
    her = juliet.boundjid.bare
    await mine.modify_affiliations(service, node, [(her, "publisher")], timeout=PATIENCE)
    await hers.subscribe(service, node, timeout=PATIENCE)
    await hers.publish(service, node, id="one", payload=entry("One"), timeout=PATIENCE)
    event = await juliet.find(juliet.messages, lambda m: m["from"] == service, "the event of her own item")
    equal(event["pubsub_event"]["items"]["item"]["id"], "one", "item of the event")
    own = await hers.get_affiliations(service, timeout=PATIENCE)
    roles = [(a["node"], a["affiliation"]) for a in own["pubsub"]["affiliations"]]
    expect((node, "publisher") in roles, f"her affiliations are {roles}")
    await mine.modify_affiliations(service, node, [(her, "outcast")], timeout=PATIENCE)
    await refused(hers.get_items(service, node, timeout=PATIENCE), "forbidden")
    left = await mine.get_node_subscriptions(service, node, timeout=PATIENCE)
    equal(len(list(left["pubsub_owner"]["subscriptions"])), 0, "subscriptions of an outcast")


@check("slixmpp", "a blog: an account posts, anybody follows without being a contact, comments, likes, and sees how many do")
async def blog(case):
    romeo, mine, service = await seat(case, "romeo")
    juliet, hers, _ = await seat(case, "juliet")
    bare = romeo.boundjid.bare
    options = {"type": MICROBLOG, "access_model": "open", "persist_items": True, "max_items": "max", "notify_retract": True}
    options = form(romeo, PUBLISH, **options, send_last_published_item="never")

    async def post(title, id, **more):
        await mine.publish(bare, MICROBLOG, id=id, payload=entry(title), **more, timeout=PATIENCE)

    async def event_of(node):
        right = lambda m: m["from"].bare in (bare, service) and m["pubsub_event"]["items"]["node"] == node
        event = await juliet.find(juliet.messages, right, f"an event of {node}")
        return event["pubsub_event"]["items"]

    await post("Queen Mab", "mab", options=options)
    await hers.subscribe(bare, MICROBLOG, timeout=PATIENCE)
    await post("Banishment", "exile")
    equal((await event_of(MICROBLOG))["item"]["id"], "exile", "item of the event")
    posts = await hers.get_items(bare, MICROBLOG, timeout=PATIENCE)
    equal([item["id"] for item in posts["pubsub"]["items"]], ["mab", "exile"], "posts")

    # Movim keeps comments at the service.
    comments = f"{MICROBLOG}:comments/{secrets.token_hex(8)}"
    config = form(romeo, CONFIG, type=MICROBLOG, access_model="open", publish_model="open", max_items="max")
    await mine.create_node(service, comments, config=config, timeout=PATIENCE)
    await hers.subscribe(service, comments, timeout=PATIENCE)
    await hers.publish(service, comments, id="sigh", payload=entry("Ay me"), timeout=PATIENCE)
    equal((await event_of(comments))["item"]["id"], "sigh", "item of the event")

    # Libervia attaches (XEP-0470) what is said of something, where whoever says it may publish.
    where = comments.replace(":", "%3A").replace("/", "%2F")
    about = f"{ATTACHMENTS}/xmpp:{service}?;node={where};item=sigh"
    attached = ET.Element(f"{{{ATTACHMENTS}}}attachments")
    ET.SubElement(attached, f"{{{ATTACHMENTS}}}noticed")
    reactions = ET.SubElement(attached, f"{{{ATTACHMENTS}}}reactions")
    ET.SubElement(reactions, f"{{{ATTACHMENTS}}}reaction").text = "\u2665"
    await mine.publish(service, about, id=bare, payload=attached, timeout=PATIENCE)
    await hers.subscribe(service, f"{SUMMARY}/{comments}", timeout=PATIENCE)
    summary = (await event_of(f"{SUMMARY}/{comments}"))["item"]["payload"]
    equal(summary.find(f"{{{SUMMARY}}}noticed").get("count"), "1", "who noticed")
    equal([r.text for r in summary.iter(f"{{{SUMMARY}}}reaction")], ["\u2665"], "reactions")

    await mine.retract(bare, MICROBLOG, "mab", notify=True, timeout=PATIENCE)
    equal((await event_of(MICROBLOG))["retract"]["id"], "mab", "what was retracted")
