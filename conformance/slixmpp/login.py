"""Logging in, and being refused."""

import ssl

from check import Skip, check, equal, expect
from server import Account
from xmpp import condition, login, refused


@check("slixmpp", "STARTTLS verified by the CA, SCRAM-SHA-256")
async def scram_sha_256(case):
    romeo = await login(case, await case.account("romeo"), mechanism="SCRAM-SHA-256")
    equal(romeo.socket.version(), "TLSv1.3", "TLS")


@check("slixmpp", "the mechanism it finds best by itself")
async def best_mechanism(case):
    romeo = await login(case, await case.account("romeo"))
    expect("SCRAM-SHA-512" in romeo.plugin["feature_mechanisms"].mech.name, "not SCRAM-SHA-512")


@check("slixmpp", "SCRAM-SHA-1, for old clients")
async def scram_sha_1(case):
    await login(case, await case.account("romeo"), mechanism="SCRAM-SHA-1")


@check("slixmpp", "SCRAM-SHA-256-PLUS bound by tls-exporter")
async def scram_plus(case):
    if "tls-exporter" not in ssl.CHANNEL_BINDING_TYPES:
        raise Skip("this Python knows no tls-exporter")
    await login(case, await case.account("romeo"), mechanism="SCRAM-SHA-256-PLUS")


@check("slixmpp", "direct TLS on the same port")
async def direct_tls(case):
    await login(case, await case.account("romeo"), direct=True)


@check("slixmpp", "TLS 1.2, where it binds by tls-unique, which is not offered")
async def tls_1_2(case):
    romeo = await login(case, await case.account("romeo"), tls=ssl.TLSVersion.TLSv1_2)
    equal(romeo.socket.version(), "TLSv1.2", "TLS")


@check("slixmpp", "a wrong CA: the client refuses the server, STARTTLS and direct")
async def wrong_ca(case):
    account = await case.account("romeo")
    for direct in (False, True):
        reasons = await refused(case, account, ca=case.server.wrong_ca, direct=direct)
        equal(reasons, ["untrusted"], "reasons")


@check("slixmpp", "a wrong password is refused")
async def wrong_password(case):
    reasons = await refused(case, await case.account("romeo"), password="wrong", mechanism="SCRAM-SHA-256")
    equal(reasons[:1], ["not-authorized"], "reasons")


@check("slixmpp", "an account that does not exist is refused as a wrong password is")
async def unknown_account(case):
    account = await case.account("romeo")
    account.address = f"nobody-{account.address}"
    reasons = await refused(case, account, mechanism="SCRAM-SHA-256")
    equal(reasons[:1], ["not-authorized"], "reasons")


@check("slixmpp", "a disabled account is refused by name, and let in again when enabled")
async def disabled_account(case):
    account = await case.account("romeo")
    await case.server.admin("user", "disable", account.address)
    equal((await refused(case, account, mechanism="SCRAM-SHA-256"))[:1], ["account-disabled"], "reasons")
    await case.server.admin("user", "enable", account.address)
    await login(case, account)


@check("slixmpp", "a new password ends the session; the old one is refused")
async def password_change(case):
    account = await case.account("romeo")
    romeo = await login(case, account)
    await case.server.admin("user", "passwd", account.address, "--stdin", line="another one")
    equal(await romeo.over(), ["not-authorized"], "reasons")
    reasons = await refused(case, account, mechanism="SCRAM-SHA-256")
    equal(reasons[:1], ["not-authorized"], "reasons")
    await login(case, account, password="another one")


@check("slixmpp", "disabling an account ends its session")
async def disabling(case):
    account = await case.account("romeo")
    romeo = await login(case, account)
    await case.server.admin("user", "disable", account.address)
    equal(await romeo.over(), ["not-authorized"], "reasons")


@check("slixmpp", "a removed account loses its session and cannot log in")
async def removing(case):
    account = await case.account("romeo")
    romeo = await login(case, account)
    await case.server.admin("user", "delete", account.address, "--yes")
    equal(await romeo.over(), ["not-authorized"], "reasons")
    equal((await refused(case, account, mechanism="SCRAM-SHA-256"))[:1], ["not-authorized"], "reasons")


@check("slixmpp", "a second session of the same resource takes the place of the first")
async def conflict(case):
    account = await case.account("romeo")
    first = await login(case, account, "balcony")
    second = await login(case, account, "balcony")
    equal(await first.over(), ["conflict"], "reasons")
    equal(second.boundjid.full, f"{account.address}/balcony", "address")
    await second["xep_0199"].ping(timeout=10)


@check("slixmpp", "guests log in without an account where they may, and reach their own domain alone")
async def guests(case):
    guest = await login(case, Account(case.server.guest_domain, ""))
    other = await login(case, Account(case.server.guest_domain, ""))
    equal(guest.boundjid.domain, case.server.guest_domain, "domain")
    expect(guest.boundjid.bare != other.boundjid.bare, "two guests are one")
    guest.send_message(other.boundjid.full, "hello", mtype="chat")
    equal((await other.message())["body"], "hello", "message")
    juliet = await login(case, await case.account("juliet"))
    guest.send_message(juliet.boundjid.bare, "hello", mtype="chat")
    equal(condition(await guest.message()), "not-allowed", "answer")
    await juliet.no_message()


@check("slixmpp", "no guests where they are not allowed")
async def no_guests(case):
    reasons = await refused(case, Account(case.server.domain, ""))
    equal(reasons, ["no mechanism"], "reasons")
