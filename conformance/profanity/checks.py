"""Profanity in a terminal, with slixmpp on the other side."""

import asyncio
import ssl
import urllib.request

from check import check, equal, expect
from people import online, profanity
from sealed import equipped, hear, published, say
from server import Account
from terminal import own_folder
from xmpp import befriend, login


@check("profanity", "log in by STARTTLS and direct TLS, the certificate verified by the CA")
async def logging_in(case):
    for tls in ("force", "legacy"):
        terminal = await online(case, await case.account("romeo"), tls)
        terminal.type("/tls cert")
        await terminal.sees("A CA for tests")


@check("profanity", "a wrong CA: it shows the certificate, waits, and leaves when told to deny")
async def wrong_ca(case):
    terminal = await profanity(case, await case.account("romeo"), case.server.wrong_ca)
    screen = await terminal.sees("TLS certificate verification failed", "/tls allow")
    expect("logged in" not in screen, "logged in all the same")
    terminal.type("/tls deny")
    await terminal.sees("Login failed")


@check("profanity", "a wrong password is said to be wrong")
async def wrong_password(case):
    account = await case.account("romeo")
    account.password = "wrong"
    await (await profanity(case, account)).sees("Login failed")


@check("profanity", "the roster, with names and groups")
async def roster(case):
    account = await case.account("romeo")
    other = await login(case, account, priority=-1)
    await other.update_roster(f"nurse@{case.server.domain}", name="Angelica", groups=["Capulets"])
    terminal = await online(case, account)
    terminal.type("/roster")
    await terminal.sees("Angelica", f"nurse@{case.server.domain}", "Capulets")


@check("profanity", "asks for a subscription and sees the contact")
async def subscribing(case):
    juliet = await login(case, await case.account("juliet"))
    account = await case.account("romeo")
    terminal = await online(case, account)
    terminal.type(f"/sub request {juliet.boundjid.bare}")
    await juliet.presence(account.address, "subscribe")
    juliet.send_presence(pto=account.address, ptype="subscribed")
    await terminal.sees(f"Subscription received from {juliet.boundjid.bare}", f"++ {juliet.boundjid.bare}", "is online")
    terminal.type("/roster")
    await terminal.sees(f"{juliet.boundjid.bare} - to")


@check("profanity", "allows a subscription; the contact sees it come and go")
async def allowing(case):
    juliet = await login(case, await case.account("juliet"))
    account = await case.account("romeo")
    terminal = await online(case, account)
    juliet.send_presence_subscription(account.address)
    await terminal.sees(f"Received authorization request from {juliet.boundjid.bare}")
    terminal.type(f"/sub allow {juliet.boundjid.bare}")
    await juliet.presence(account.address)
    terminal.type("/disconnect")
    await juliet.presence(account.address, "unavailable")


@check("profanity", "chat both ways")
async def chat(case):
    juliet = await login(case, await case.account("juliet"))
    account = await case.account("romeo")
    terminal = await online(case, account)
    terminal.type(f"/msg {juliet.boundjid.bare} my lips, two blushing pilgrims")
    message = await juliet.message("my lips, two blushing pilgrims")
    juliet.send_message(message["from"], "you do wrong your hand too much \N{ROSE}", mtype="chat")
    await terminal.sees("you do wrong your hand too much \N{ROSE}")


@check("profanity", "what was sent while it was away, once and in order")
async def offline(case):
    juliet = await login(case, await case.account("juliet"))
    account = await case.account("romeo")
    for number in (1, 2, 3):
        juliet.send_message(account.address, f"come at the hour of nine, {number}", mtype="chat")
    await juliet["xep_0199"].ping(timeout=15)
    terminal = await online(case, account)
    terminal.type(f"/msg {juliet.boundjid.bare}")
    wanted = [f"come at the hour of nine, {number}" for number in (1, 2, 3)]
    screen = await terminal.sees(*wanted)
    equal([screen.count(text) for text in wanted], [1, 1, 1], "how often")
    expect(screen.index(wanted[0]) < screen.index(wanted[2]), "not in order")


@check("profanity", "blocks a contact, lists it, and lets it speak again")
async def blocking(case):
    juliet = await login(case, await case.account("juliet"))
    account = await case.account("romeo")
    terminal = await online(case, account)
    terminal.type(f"/blocked add {juliet.boundjid.bare}")
    await terminal.sees("successfully blocked")
    terminal.type("/blocked")
    await terminal.sees("Blocked users", juliet.boundjid.bare)
    juliet.send_message(account.address, "are you there?", mtype="chat")
    equal((await juliet.message())["error"]["condition"], "service-unavailable", "error")
    terminal.type(f"/blocked remove {juliet.boundjid.bare}")
    await terminal.sees("successfully unblocked")
    juliet.send_message(account.address, "and now?", mtype="chat")
    await terminal.sees(f"chat message: {juliet.boundjid.bare}")


@check("profanity", "keeps bookmarks in private XML, for every client of the account")
async def private_xml(case):
    account = await case.account("romeo")
    room = f"balcony@rooms.{case.server.domain}"
    terminal = await online(case, account)
    terminal.type(f"/bookmark add {room} nick Romeo")
    await terminal.sees(f"Bookmark added for {room}")
    terminal.type("/disconnect")
    await terminal.sees("logged out successfully")
    again = await online(case, account)
    again.type("/bookmark list")
    await again.sees(f"{room}/Romeo")


@check("profanity", "an administrator sees the commands, fills in the form of one, and reads what came of it")
async def administration(case):
    boss = await case.server.administrator()
    domain = case.server.domain
    made = Account(f"launcelot@{domain}", "a-very-honest-man")
    case.server.accounts.append(made)
    terminal = await online(case, boss)
    # It knows that there are commands when it has asked what the server offers, which it does by itself before this.
    terminal.type(f"/disco items {domain}")
    await terminal.sees(f"conference.{domain}")
    terminal.type(f"/cmd list {domain}")
    await terminal.sees("admin#add-user", "admin#delete-user")
    terminal.type(f"/cmd exec http://jabber.org/protocol/admin#add-user {domain}")
    await terminal.sees("Make an account", "[field1]", "(required)")
    terminal.type(f"/field1 {made.address}")
    await terminal.sees(f"(required): {made.address}")
    terminal.type(f"/field2 {made.password}")
    await terminal.sees("[hidden]")
    terminal.type("/form submit")
    await terminal.sees(f"{made.address} can log in now")
    await login(case, made)


@check("profanity", "/sendfile uploads a file; whoever gets its address reads it")
async def sendfile(case):
    juliet = await login(case, await case.account("juliet"))
    account = await case.account("romeo")
    terminal = await online(case, account)
    file = own_folder(case.server.work) / "sonnet.txt"
    file.write_text("From you have I been absent in the spring\n" * 1000)
    terminal.type(f"/msg {juliet.boundjid.bare} I send you something")
    await juliet.message("I send you something")
    terminal.type(f"/sendfile {file}")
    said = await juliet.find(juliet.messages, lambda message: "/upload/" in message["body"], "a message with an address")
    trust = ssl.create_default_context(cafile=case.server.ca)
    url = said["body"]
    got = await asyncio.to_thread(lambda: urllib.request.urlopen(url, context=trust, timeout=15).read())
    equal(got, file.read_bytes(), "what comes down")


@check("profanity", "shares a room with another client: history, both ways, the subject, a kick")
async def room(case):
    juliet = await login(case, await case.account("juliet"), plugins=("xep_0045", "xep_0004"))
    room = f"verona@conference.{case.server.domain}"
    muc = juliet["xep_0045"]
    await muc.join_muc_wait(room, "juliet", timeout=15)
    form = await muc.get_room_config(room)
    form["type"] = "submit"
    await muc.set_room_config(room, form)
    juliet.send_message(room, "three words, dear Romeo", mtype="groupchat")
    await juliet.message("three words, dear Romeo")
    muc.set_subject(room, "The orchard")
    terminal = await online(case, await case.account("romeo"))
    terminal.type(f"/join {room} nick romeo")
    await terminal.sees("You have joined the room as romeo", "three words, dear Romeo", "The orchard")
    terminal.type("I take thee at thy word")
    equal((await juliet.message("I take thee at thy word"))["from"].resource, "romeo", "nickname")
    juliet.send_message(room, "what man art thou?", mtype="groupchat")
    await terminal.sees("what man art thou?")
    await muc.set_role(room, "romeo", "none", reason="Hark")
    await terminal.sees("Kicked from", "Hark")


@check("profanity", "OMEMO: adds its keys to those of another device, writes to slixmpp-omemo and hears from it")
async def omemo(case):
    juliet = await equipped(case, await case.account("juliet"))
    account = await case.account("romeo")
    # Where there is no list of devices yet, this version publishes none.
    phone = await equipped(case, account)
    await befriend(juliet, phone)
    terminal = await online(case, account)
    terminal.type("/omemo trustmode blind")
    terminal.type("/omemo gen")
    await published(juliet, account.address, devices=2)
    terminal.type(f"/omemo start {juliet.boundjid.bare}")
    await terminal.sees("[OMEMO]")
    terminal.type("with love's light wings")
    equal(await hear(juliet), "with love's light wings", "body")
    await say(juliet, account.address, "how cam'st thou hither?")
    await terminal.sees("how cam'st thou hither?")
