"""go-sendxmpp, which knows PLAIN alone and sends a message or listens, with slixmpp on the other side."""

from check import check, equal, expect
from program import Program
from xmpp import login


async def go_sendxmpp(case, account, *arguments, ca=None):
    server = case.server
    command = ["go-sendxmpp", "-u", account.address, "-p", account.password, "-j", f"{server.host}:{server.port}"]
    # Go believes whom this names, and nobody else.
    trust = {"SSL_CERT_FILE": ca or server.ca, "SSL_CERT_DIR": server.work / "nobody", "HOME": server.work}
    return await Program.start(case, [*command, *arguments], trust)


@check("go_sendxmpp", "sends a message by STARTTLS and by direct TLS, where PLAIN is allowed")
async def sending(case):
    account = await case.account("romeo", case.server.plain_domain)
    juliet = await login(case, await case.account("juliet"))
    for way in ([], ["--tls"]):
        program = await go_sendxmpp(case, account, *way, juliet.boundjid.bare)
        body = f"by {way or 'STARTTLS'}"
        equal(await program.ended(body), 0, f"exit status; {program.seen}")
        equal((await juliet.message())["body"].strip(), body, "message")


@check("go_sendxmpp", "PLAIN is not for domains that do not allow it")
async def plain_refused(case):
    account = await case.account("romeo")
    program = await go_sendxmpp(case, account, account.address)
    expect(await program.ended("hello") != 0, "sent all the same")
    expect("PLAIN authentication is not an option" in " ".join(program.seen), f"said: {program.seen}")


@check("go_sendxmpp", "a wrong CA: it refuses the server")
async def wrong_ca(case):
    account = await case.account("romeo", case.server.plain_domain)
    program = await go_sendxmpp(case, account, account.address, ca=case.server.wrong_ca)
    expect(await program.ended("hello") != 0, "sent all the same")
    expect("unknown authority" in " ".join(program.seen), f"said: {program.seen}")


@check("go_sendxmpp", "listens to what is sent to it, and to what was sent before")
async def listening(case):
    account = await case.account("romeo", case.server.plain_domain)
    juliet = await login(case, await case.account("juliet"))
    juliet.send_message(account.address, "sent before", mtype="chat")
    await juliet["xep_0199"].ping(timeout=15)
    program = await go_sendxmpp(case, account, "--listen")
    await program.line("sent before")
    juliet.send_message(account.address, "sent while you listen", mtype="chat")
    await program.line("sent while you listen")
