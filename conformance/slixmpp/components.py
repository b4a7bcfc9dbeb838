"""slixmpp as a component (XEP-0114)."""

import asyncio

import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from check import check, equal, expect, within
from xmpp import PATIENCE, condition, login


class Component(slixmpp.ComponentXMPP):
    """Says every message again."""

    def __init__(self, server, secret=None):
        domain, right = server.components["echo"]
        super().__init__(domain, secret or right, server.component_host, server.component_port)
        for plugin in ("xep_0030", "xep_0199"):
            self.register_plugin(plugin)
        self.seated, self.ended = asyncio.Event(), asyncio.Event()
        self.reasons, self.got = [], []
        self.add_event_handler("session_start", lambda _: self.seated.set())
        self.add_event_handler("disconnected", lambda _: self.ended.set())
        self.add_event_handler("stream_error", lambda error: self.reasons.append(error["condition"]))
        self.register_handler(Callback("echo", StanzaPath("message"), self.echo))

    def echo(self, message):
        self.got.append(message["body"])
        if message["type"] != "error":
            message.reply(message["body"]).send()

    async def over(self):
        await within(PATIENCE, self.ended.wait(), "the end of the component")
        return self.reasons

    async def close(self):
        self.cancel_connection_attempt()
        if not self.ended.is_set():
            self.disconnect(wait=5.0)
            await self.over()


async def attached(case):
    component = Component(case.server)
    case.closing(component.close)
    component.connect()
    await within(PATIENCE, component.seated.wait(), "the component's coming in")
    return component


@check("slixmpp", "a component answers accounts, and they find it")
async def component_echo(case):
    component = await attached(case)
    domain = component.boundjid.bare
    romeo = await login(case, await case.account("romeo"))
    romeo.send_message(f"anybody@{domain}/here", "Hello?", mtype="chat")
    equal((await romeo.message("Hello?"))["from"].full, f"anybody@{domain}/here", "from")
    await romeo["xep_0199"].send_ping(domain, timeout=PATIENCE)
    await component["xep_0199"].send_ping(case.server.domain, timeout=PATIENCE)
    items = await romeo["xep_0030"].get_items(case.server.domain, timeout=PATIENCE)
    expect(domain in {item[0] for item in items["disco_items"]["items"]}, "the host does not list it")


@check("slixmpp", "a component is believed for its own domain and for no other")
async def component_claims(case):
    component = await attached(case)
    romeo = await login(case, await case.account("romeo"))
    component.send_message(romeo.boundjid.bare, "spoofed", mfrom=f"juliet@{case.server.domain}")
    equal(await component.over(), ["invalid-from"], "the end")
    await romeo.no_message()
    liar = Component(case.server, "not the secret")
    case.closing(liar.close)
    liar.connect()
    equal(await liar.over(), ["not-authorized"], "the end with a wrong secret")
    liar.cancel_connection_attempt()


@check("slixmpp", "a second connection of a component is refused")
async def component_twice(case):
    await attached(case)
    second = Component(case.server)
    case.closing(second.close)
    second.connect()
    equal(await second.over(), ["conflict"], "the end of the second")


@check("slixmpp", "messages wait for a component that is away and come in order; questions go back")
async def component_away(case):
    first = await attached(case)
    domain = first.boundjid.bare
    await first.close()
    romeo = await login(case, await case.account("romeo"))
    texts = [str(n) for n in range(50)]
    for text in texts:
        romeo.send_message(f"anybody@{domain}", text, mtype="chat")
    question = romeo.make_iq_get(ito=domain)
    question.enable("disco_info")
    equal(condition(await romeo.request(question)), "remote-server-timeout", "a question")
    second = await attached(case)
    for text in texts:
        await romeo.message(text)
    equal(second.got, texts, "what came")
