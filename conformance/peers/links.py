"""Links with Prosody and ejabberd when all is well: each way of proving who one is, and all that goes over a link."""

from check import check, equal, expect
from neighbours import OURS, THEIRS, Neighbours, there_and_back, with_each
from peers import Ejabberd, Prosody
from xmpp import PATIENCE, befriend, condition


async def everything(here, proof, links):
    """All that goes over links, in both directions; `proof` of each, and how many there are."""
    romeo, juliet = await here.people()
    await there_and_back(romeo, juliet)
    found = await here.links()
    expect(all(proof in link for link in found), f"links: {found}")
    equal(len(found), links, f"number of links in {found}")
    await befriend(romeo, juliet)
    await questions(romeo, juliet)
    await going_and_coming(here, romeo, juliet)


@with_each("EXTERNAL: messages, subscriptions, presence, disco, vCard and errors both ways, bidi where it is known")
async def external(case, kind):
    here = await Neighbours.settle(case, kind)
    # Prosody's link carries both ways, ejabberd has one each way.
    await everything(here, "EXTERNAL", 1 if kind is Prosody else 2)


async def questions(romeo, juliet):
    for one, other, domain in ((romeo, juliet, THEIRS), (juliet, romeo, OURS)):
        info = await one["xep_0030"].get_info(domain, timeout=PATIENCE)
        expect("http://jabber.org/protocol/disco#info" in info["disco_info"]["features"], f"disco of {domain}: {info}")
        card = one["xep_0054"].make_vcard()
        card["FN"] = f"The card of {one.boundjid.user}"
        await one["xep_0054"].publish_vcard(card, timeout=PATIENCE)
        seen = await other["xep_0054"].get_vcard(one.boundjid.bare, timeout=PATIENCE)
        equal(seen["vcard_temp"]["FN"], f"The card of {one.boundjid.user}", "vCard")
        nobody = other.make_iq_get("urn:example:nothing", f"nobody@{one.boundjid.domain}")
        expect(condition(await other.request(nobody)) in ("service-unavailable", "item-not-found"), "an error for nobody")
        other.send_message(f"nobody@{one.boundjid.domain}", "hello?", mtype="chat")
        answer = await other.message()
        equal((answer["type"], str(answer["from"])), ("error", f"nobody@{one.boundjid.domain}"), "a message to nobody")


async def going_and_coming(here, romeo, juliet):
    """Each sees the other go and come; who comes sees who is there."""
    await romeo.close()
    await juliet.presence(romeo.boundjid.full, "unavailable")
    romeo = await here.romeo()
    await juliet.presence(romeo.boundjid.full)
    await romeo.presence(juliet.boundjid.full)
    await juliet.close()
    await romeo.presence(juliet.boundjid.full, "unavailable")
    juliet = await here.juliet()
    await romeo.presence(juliet.boundjid.full)
    await juliet.presence(romeo.boundjid.full)


@with_each("dialback, with certificates that nobody believes; a link each way")
async def dialback(case, kind):
    here = await Neighbours.settle(case, kind, proof="dialback", bidi=False)
    await everything(here, "dialback", 2)


@check("prosody", "EXTERNAL without bidi: a link each way", apart=True)
async def one_way(case):
    here = await Neighbours.settle(case, Prosody, bidi=False)
    await everything(here, "EXTERNAL", 2)


@check("prosody", "dialback with bidi: a link that Prosody opened carries both ways", apart=True)
async def dialback_both_ways(case):
    here = await Neighbours.settle(case, Prosody, proof="dialback")
    # Asking about our key Prosody calls, and proves itself on the same stream: that one carries both ways too.
    await everything(here, "dialback", 2)
    expect(any("both ways" in link for link in await here.links()), "no link carries both ways")


@check("ejabberd", "dialback: two domains of ours share a stream", apart=True, limit=150.0)
async def two_domains(case):
    here = await Neighbours.settle(case, Ejabberd, proof="dialback", bidi=False, second="padua.lit")
    romeo, juliet = await here.people()
    kate = await here.enter(here.own, await here.own.new_account("kate", "padua.lit"))
    for one in (romeo, kate, romeo):
        await there_and_back(one, juliet)
    found = [link for link in await here.links() if "shared by 2" in link]
    equal(len(found), 2, f"pairs on one stream: {await here.links()}")


@with_each("direct TLS, where DNS names nothing else")
async def direct_tls(case, kind):
    here = await Neighbours.settle(case, kind, direct=True)
    romeo, juliet = await here.people()
    await there_and_back(romeo, juliet)
    links = await here.links()
    expect(any(f":{here.peer.direct_port}," in link for link in links), f"links: {links}")
