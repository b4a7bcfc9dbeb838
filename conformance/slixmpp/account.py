"""What the server keeps and tells of accounts: vCards, private XML, last activity, block lists."""

import xml.etree.ElementTree as ET

from slixmpp.xmlstream import ElementBase

from check import check, equal, expect
from xmpp import PATIENCE, befriend, login


class Preferences(ElementBase):
    name, namespace, plugin_attrib = "exodus", "exodus:prefs", "exodus"
    interfaces = sub_interfaces = {"defaultnick"}


@check("slixmpp", "the time, the software and the uptime of the server")
async def server_information(case):
    romeo = await login(case, await case.account("romeo"), plugins=("xep_0012", "xep_0092", "xep_0202"))
    domain = case.server.domain
    time = (await romeo["xep_0202"].get_entity_time(domain, timeout=PATIENCE))["entity_time"]
    # As text: slixmpp 1.17 cannot read what XEP-0082 allows.
    equal((time._get_sub_text("utc")[-1], time._get_sub_text("tzo")), ("Z", "+00:00"), "time")
    version = (await romeo["xep_0092"].get_version(domain, timeout=PATIENCE))["software_version"]
    equal(version["name"], "waxwing", "name")
    last = (await romeo["xep_0012"].get_last_activity(domain, timeout=PATIENCE))["last_activity"]
    expect(int(last["seconds"]) >= 0, f"no uptime: {last}")


@check("slixmpp", "last activity of a contact that left, and none for strangers")
async def last_activity(case):
    romeo = await login(case, await case.account("romeo"), plugins=("xep_0012",))
    account = await case.account("juliet")
    juliet = await login(case, account)
    await befriend(romeo, juliet)
    juliet.send_presence(ptype="unavailable", pstatus="good night")
    await romeo.presence(juliet.boundjid.full, "unavailable")
    await juliet.close()
    for _ in range(PATIENCE * 10):
        iq = await romeo["xep_0012"].get_last_activity(account.address, timeout=PATIENCE)
        if iq["last_activity"]["status"] == "good night":
            break
    equal(iq["last_activity"]["status"], "good night", "status")
    tybalt = await login(case, await case.account("tybalt"), plugins=("xep_0012",))
    question = tybalt.make_iq_get(ito=account.address)
    question.enable("last_activity")
    equal((await tybalt.request(question))["error"]["condition"], "forbidden", "error")


@check("slixmpp", "a vCard with a picture, seen by somebody else")
async def vcard(case):
    romeo = await login(case, await case.account("romeo"), plugins=("xep_0054",))
    card = romeo["xep_0054"].make_vcard()
    card["FN"], card["NICKNAME"] = "Romeo Montague", "Romeo \N{ROSE}"
    card["PHOTO"]["TYPE"], card["PHOTO"]["BINVAL"] = "image/png", bytes(range(256)) * 64
    await romeo["xep_0054"].publish_vcard(card, timeout=PATIENCE)
    juliet = await login(case, await case.account("juliet"), plugins=("xep_0054",))
    got = await juliet["xep_0054"].get_vcard(romeo.boundjid.bare, timeout=PATIENCE)
    got = got["vcard_temp"]
    equal(got["FN"], "Romeo Montague", "name")
    equal(bytes(got["PHOTO"]["BINVAL"]), bytes(range(256)) * 64, "picture")


@check("slixmpp", "private XML, kept for the account and for nobody else")
async def private_xml(case):
    account = await case.account("romeo")
    romeo = await login(case, account, plugins=("xep_0049",))
    romeo["xep_0049"].register(Preferences)
    preferences = Preferences()
    preferences["defaultnick"] = "Hamlet"
    await romeo["xep_0049"].store(preferences, timeout=PATIENCE)
    again = await login(case, account, plugins=("xep_0049",))
    kept = await again["xep_0049"].retrieve("exodus", timeout=PATIENCE)
    equal(kept["private"]["exodus"]["defaultnick"], "Hamlet", "kept")
    juliet = await login(case, await case.account("juliet"), plugins=("xep_0049",))
    foreign = juliet.make_iq_get(ito=account.address)
    foreign["private"].xml.append(ET.Element("{exodus:prefs}exodus"))
    equal((await juliet.request(foreign))["error"]["condition"], "forbidden", "error")


@check("slixmpp", "who is blocked is not heard, sees nobody, and is heard again afterwards")
async def blocking(case):
    romeo = await login(case, await case.account("romeo"), plugins=("xep_0191",))
    juliet = await login(case, await case.account("juliet"))
    await befriend(romeo, juliet)
    await romeo["xep_0191"].block(juliet.boundjid.bare, timeout=PATIENCE)
    await juliet.presence(romeo.boundjid.full, "unavailable")
    listed = await romeo["xep_0191"].get_blocked_jids(timeout=PATIENCE)
    equal({str(jid) for jid in listed}, {juliet.boundjid.bare}, "listed")
    juliet.send_message(romeo.boundjid.bare, "are you there?", mtype="chat")
    equal((await juliet.message())["error"]["condition"], "service-unavailable", "error")
    romeo.send_message(juliet.boundjid.bare, "no", mtype="chat")
    refused = await romeo.message()
    equal(refused["error"]["condition"], "not-acceptable", "error")
    expect("urn:xmpp:blocking:errors" in str(refused), f"does not say why: {refused}")
    await romeo["xep_0191"].unblock(juliet.boundjid.bare, timeout=PATIENCE)
    await juliet.presence(romeo.boundjid.full)
    juliet.send_message(romeo.boundjid.bare, "and now?", mtype="chat")
    await romeo.message("and now?")


@check("slixmpp", "a report blocks as well")
async def reporting(case):
    romeo = await login(case, await case.account("romeo"), plugins=("xep_0191", "xep_0377"))
    spammer = f"tybalt@{case.server.domain}"
    await romeo["xep_0377"].report(spammer, reason="spam", timeout=PATIENCE)
    listed = await romeo["xep_0191"].get_blocked_jids(timeout=PATIENCE)
    equal({str(jid) for jid in listed}, {spammer}, "listed")
