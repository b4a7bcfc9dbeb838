"""Carbons and the archive, as slixmpp asks for them."""

from check import check, equal, expect
from xmpp import login

CARBONS = ("xep_0280", "xep_0297")
ARCHIVE = ("xep_0313", "xep_0059", "xep_0359", "xep_0297")


async def copied(client):
    """Turns copies on, and keeps those that come in its queue of messages."""
    await client["xep_0280"].enable()
    return client


@check("slixmpp", "carbons: the other resource sees what one sends and what it gets")
async def carbons(case):
    romeo = await login(case, await case.account("romeo"))
    account = await case.account("juliet")
    balcony = await login(case, account, "balcony")
    cellar = await copied(await login(case, account, "cellar", priority=-1, plugins=CARBONS))
    balcony.send_message(romeo.boundjid.full, "ay me", mtype="chat")
    sent = await cellar.message()
    equal(sent["from"], balcony.boundjid.bare, "from")
    inner = sent["carbon_sent"]
    equal((inner["body"], inner["to"], inner["from"]), ("ay me", romeo.boundjid, balcony.boundjid), "sent")
    await romeo.message("ay me")
    romeo.send_message(balcony.boundjid.full, "she speaks", mtype="chat")
    received = (await cellar.message())["carbon_received"]
    equal((received["body"], received["from"]), ("she speaks", romeo.boundjid), "received")
    await balcony.message("she speaks")
    await cellar["xep_0280"].disable()
    balcony.send_message(romeo.boundjid.full, "deny thy father", mtype="chat")
    await cellar.no_message()


@check("slixmpp", "the archive: what was sent and got, page by page, on a client that was not there")
async def archive(case):
    romeo = await login(case, await case.account("romeo"))
    account = await case.account("juliet")
    balcony = await login(case, account, "balcony")
    bodies = [f"line {number}" for number in range(35)]
    for number, body in enumerate(bodies):
        one, other = (romeo, balcony) if number % 2 else (balcony, romeo)
        one.send_message(other.boundjid.bare, body, mtype="chat")
        await other.message(body)
    cellar = await login(case, account, "cellar", available=False, plugins=ARCHIVE)
    found, ids = [], []
    async for message in cellar["xep_0313"].iterate(rsm={"max": "10"}):
        result = message["mam_result"]
        found.append(result["forwarded"]["stanza"]["body"])
        ids.append(result["id"])
        expect(result["forwarded"]["delay"]["stamp"], "no time")
    equal(found, bodies, "messages")
    equal(len(set(ids)), len(bodies), "ids")
    last = [
        message["mam_result"]["forwarded"]["stanza"]["body"]
        async for message in cellar["xep_0313"].iterate(with_jid=romeo.boundjid.bare, reverse=True, rsm={"max": "5"}, total=5)
    ]
    equal(sorted(last), sorted(bodies[-5:]), "the last five")


@check("slixmpp", "the archive: its fields, its ends, and the id that a message told")
async def archive_ids(case):
    romeo = await login(case, await case.account("romeo"))
    account = await case.account("juliet")
    balcony = await login(case, account, plugins=ARCHIVE)
    fields = (await balcony["xep_0313"].get_fields()).get_fields()
    expect({"with", "start", "end", "ids", "before-id", "after-id"} <= set(fields), f"fields: {list(fields)}")
    romeo.send_message(account.address, "by any other name", mtype="chat")
    message = await balcony.message("by any other name")
    stanza_id = message["stanza_id"]
    equal(str(stanza_id["by"]), account.address, "by")
    ends = (await balcony["xep_0313"].get_archive_metadata())["mam_metadata"]
    equal((ends["start"]["id"], ends["end"]["id"]), (stanza_id["id"], stanza_id["id"]), "ends")
