"""Contacts, subscriptions, and the presence they give."""

from check import check, equal, expect
from xmpp import PATIENCE, befriend, login


@check("slixmpp", "a contact that one resource sets is pushed to the other, kept, and removed")
async def roster(case):
    account = await case.account("romeo")
    balcony, garden = await login(case, account, "balcony"), await login(case, account, "garden")
    for client in (balcony, garden):
        await client.get_roster()
    nurse = f"nurse@{case.server.domain}"
    await balcony.update_roster(nurse, name="Nurse & co", groups=["Capulets", "Friends"])
    pushed = await garden.push(nurse)
    equal((pushed["name"], sorted(pushed["groups"])), ("Nurse & co", ["Capulets", "Friends"]), "pushed")
    items = (await (await login(case, account)).get_roster())["roster"]["items"]
    equal([str(jid) for jid in items], [nurse], "contacts")
    equal(items[nurse]["subscription"], "none", "subscription")
    await balcony.del_roster_item(nurse)
    equal((await garden.push(nurse))["subscription"], "remove", "pushed")
    equal(dict((await (await login(case, account)).get_roster())["roster"]["items"]), {}, "contacts")


@check("slixmpp", "a roster that did not change is not sent again (versions)")
async def roster_version(case):
    romeo = await login(case, await case.account("romeo"))
    await romeo.get_roster()
    await romeo.update_roster(f"nurse@{case.server.domain}", name="Nurse")
    await romeo.push(f"nurse@{case.server.domain}")
    expect(romeo.client_roster.version, "no version")
    answers = []
    romeo.add_filter("in", lambda stanza: answers.append(str(stanza)) or stanza)
    equal((await romeo.get_roster())["type"], "result", "answer")
    expect("jabber:iq:roster" not in answers[-1], f"not empty: {answers[-1]}")


@check("slixmpp", "subscriptions both ways: roster pushes, and each sees the other come and go")
async def subscriptions(case):
    romeo = await login(case, await case.account("romeo"))
    juliet = await login(case, await case.account("juliet"))
    await romeo.get_roster()
    await befriend(romeo, juliet)
    while (await romeo.push(juliet.boundjid.bare))["subscription"] != "both":
        pass
    juliet.send_presence(pshow="away", pstatus="at mass")
    seen = await romeo.presence(juliet.boundjid.full)
    while seen["show"] != "away":
        seen = await romeo.presence(juliet.boundjid.full)
    equal(seen["status"], "at mass", "status")
    await juliet.close()
    await romeo.presence(juliet.boundjid.full, "unavailable")


@check("slixmpp", "who logs in sees the contacts that are there")
async def probes(case):
    romeo_account = await case.account("romeo")
    romeo = await login(case, romeo_account)
    juliet = await login(case, await case.account("juliet"))
    await befriend(romeo, juliet)
    juliet.send_presence(pstatus="still here", ppriority=3)
    await romeo.close()
    again = await login(case, romeo_account)
    seen = await again.presence(juliet.boundjid.full)
    equal((seen["status"], seen["priority"]), ("still here", 3), "presence")


@check("slixmpp", "a request waits for an account that is away")
async def request_while_away(case):
    romeo = await login(case, await case.account("romeo"))
    account = await case.account("juliet")
    romeo.send_presence_subscription(account.address)
    await romeo["xep_0199"].ping(timeout=PATIENCE)
    juliet = await login(case, account)
    await juliet.presence(romeo.boundjid.bare, "subscribe")


@check("slixmpp", "a subscription that is cancelled or given up ends with unavailable")
async def unsubscribing(case):
    romeo = await login(case, await case.account("romeo"))
    juliet = await login(case, await case.account("juliet"))
    # RFC 6121 §3.2.3: only who asked for the roster is told.
    for client in (romeo, juliet):
        await client.get_roster()
    await befriend(romeo, juliet)
    juliet.send_presence(pto=romeo.boundjid.bare, ptype="unsubscribed")
    await romeo.presence(juliet.boundjid.bare, "unsubscribed")
    juliet.send_presence(pto=romeo.boundjid.bare, ptype="unsubscribe")
    await romeo.presence(juliet.boundjid.bare, "unsubscribe")
    await juliet.presence(romeo.boundjid.full, "unavailable")


@check("slixmpp", "a lost connection is told to contacts as unavailable")
async def lost_connection(case):
    romeo = await login(case, await case.account("romeo"))
    juliet = await login(case, await case.account("juliet"))
    await befriend(romeo, juliet)
    juliet.cut()
    await romeo.presence(juliet.boundjid.full, "unavailable")


@check("slixmpp", "directed presence, and its end")
async def directed_presence(case):
    romeo = await login(case, await case.account("romeo"))
    juliet = await login(case, await case.account("juliet"))
    romeo.send_presence(pto=juliet.boundjid.full, pstatus="only you")
    equal((await juliet.presence(romeo.boundjid.full))["status"], "only you", "status")
    romeo.cut()
    await juliet.presence(romeo.boundjid.full, "unavailable")
