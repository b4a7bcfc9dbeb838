"""Administration from a client (XEP-0050, XEP-0133), and registration (XEP-0077)."""

import asyncio

from check import check, equal, expect, within
from server import Account
from xmpp import PATIENCE, Client, condition, login, refused

COMMANDS = ("xep_0004", "xep_0050", "xep_0133")


async def administrator(case):
    return await login(case, await case.server.administrator(), plugins=COMMANDS)


async def act(client, name, fields):
    """Fills in the form of a command; the last answer, be it an error."""
    answers = asyncio.Queue()

    def asked(iq, session):
        form = iq["command"]["form"]
        form["type"] = "submit"
        form.set_values({**form.get_values(), **fields})
        session["payload"] = form
        session["next"] = lambda iq, session: answers.put_nowait(iq)
        client["xep_0050"].complete_command(session)

    session = {"next": asked, "error": lambda iq, session: answers.put_nowait(iq)}
    getattr(client["xep_0133"], name)(session=session)
    return await within(PATIENCE, answers.get(), f"the answer to {name}")


@check("slixmpp", "an administrator adds an account, changes its password, and removes it")
async def accounts(case):
    boss = await administrator(case)
    made = Account(f"made@{case.server.domain}", "pound of flesh")
    fields = {"accountjid": made.address, "password": made.password, "password-verify": made.password}
    answer = await act(boss, "add_user", fields)
    equal(answer["command"]["status"], "completed", "status")
    user = await login(case, made)
    changed = await act(boss, "change_user_password", {"accountjid": made.address, "password": "three caskets"})
    equal(changed["command"]["status"], "completed", "status")
    await user.over()
    expect("not-authorized" in await refused(case, made), "the old password still works")
    await login(case, made, password="three caskets")
    removed = await act(boss, "delete_user", {"accountjids": [made.address]})
    equal(removed["command"]["status"], "completed", "status")
    expect("not-authorized" in await refused(case, made, password="three caskets"), "it is still there")


@check("slixmpp", "an administrator announces something to all who are online")
async def announce(case):
    boss = await administrator(case)
    romeo = await login(case, await case.account("romeo"))
    await act(boss, "announce", {"announcement": ["The ships", "are lost."]})
    await romeo.message("The ships\nare lost.")


@check("slixmpp", "who is no administrator sees no commands and may do none")
async def plain_user(case):
    romeo = await login(case, await case.account("romeo"), plugins=COMMANDS)
    items = await romeo["xep_0050"].get_commands(jid=case.server.domain)
    nodes = [node for _, node, _ in items["disco_items"]["items"]]
    equal([node for node in nodes if "protocol/admin" in node], [], "commands")
    equal(condition(await act(romeo, "add_user", {})), "forbidden", "condition")


@check("slixmpp", "an account is registered before login, where the domain is open")
async def registers(case):
    made = Account(f"portia@{case.server.plain_domain}", "the quality of mercy")
    case.server.accounts.append(made)
    client = Client(case.server, made.address, made.password, plugins=("xep_0077",))
    case.closing(client.close)
    done = asyncio.Event()

    async def register(form):
        expect("username" in form["register"]["fields"], f"no username asked for: {form}")
        iq = client.Iq()
        iq["type"] = "set"
        iq["register"]["username"] = client.boundjid.user
        iq["register"]["password"] = made.password
        await iq.send()
        done.set()

    client.add_event_handler("register", register)
    await client.login()
    expect(done.is_set(), "logged in without registration")
