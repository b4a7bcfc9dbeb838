"""The end of the server, and its return, each with a server of its own."""

from breaks import own_server
from check import check, equal
from xmpp import PATIENCE, login


@check("slixmpp", "on SIGTERM streams end with system-shutdown; contacts and waiting messages are there afterwards")
async def restart(case):
    await own_server(case)
    romeo_account, juliet_account = await case.account("romeo"), await case.account("juliet")
    romeo = await login(case, romeo_account)
    await romeo.update_roster(juliet_account.address, name="Juliet")
    romeo.send_message(juliet_account.address, "see you tomorrow", mtype="chat")
    await romeo["xep_0199"].ping(timeout=PATIENCE)
    equal(await case.server.stop(), 0, "exit status")
    equal(await romeo.over(), ["system-shutdown"], "reasons")
    await case.server.serve()
    juliet = await login(case, juliet_account)
    await juliet.message("see you tomorrow")
    again = await login(case, romeo_account)
    items = (await again.get_roster())["roster"]["items"]
    equal([item["name"] for item in items.values()], ["Juliet"], "contacts")
