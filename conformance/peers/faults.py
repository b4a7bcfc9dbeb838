"""Links with Prosody and ejabberd when something breaks in the middle of traffic: what the waxwing has acknowledged is
neither lost nor doubled, senders are told the true reason, links heal by themselves."""

import asyncio
import signal
import time

from check import check, equal, expect, within
from nameserver import TTL
from neighbours import THEIRS, Neighbours, loopback, reason, with_each
from peers import Prosody
from xmpp import PATIENCE, SILENCE, befriend, condition

# Seconds in which a message may be in doubt: nobody knows what a server that was killed had done with it.
DOUBT = 0.5


class Traffic:
    """Numbers from a client to an address, at a steady pace."""

    def __init__(self, client, to):
        self.client, self.to, self.sent = client, to, []

    async def send(self, count, pause=0.02):
        for _ in range(count):
            self.client.send_message(self.to, str(len(self.sent)), mtype="chat")
            self.sent.append(time.monotonic())
            await asyncio.sleep(pause)
        return self

    async def accepted(self):
        """The server of the sender has acknowledged everything."""
        acks = self.client["xep_0198"]

        async def wait():
            while acks.unacked_queue:
                acks.request_ack()
                await asyncio.sleep(0.1)

        await within(PATIENCE, wait(), "acknowledgement of what was sent")

    @property
    def last(self):
        return len(self.sent) - 1

    def judge(self, before, after, broke):
        """`before` and `after`: what came until the break, at `broke`, and after it."""
        for came in (before, after):
            equal(came, sorted(set(came)), "numbers, each once and in order")
        for number, at in enumerate(self.sent):
            times = (number in before) + (number in after)
            doubtful = broke - DOUBT <= at <= broke + DOUBT
            expect(times == 1 or doubtful, f"number {number}, sent {at - broke:+.2f} s from the break, came {times} times")
            expect(times >= 1 or at <= broke, f"number {number}, sent after the break, was lost")


async def numbers(client, last):
    came = []
    while not came or came[-1] != last:
        message = await client.message()
        equal(message["type"], "chat", f"a message: {message}")
        came.append(int(message["body"]))
    return came


def waiting(client):
    """The numbers that have come so far."""
    came = []
    while not client.messages.empty():
        came.append(int(client.messages.get_nowait()["body"]))
    return came


async def heals(here, romeo, juliet):
    """The link is there again, in both directions, and nothing is left in the outbox."""
    for sender, receiver in ((romeo, juliet), (juliet, romeo)):
        sender.send_message(receiver.boundjid.bare, "all is well", mtype="chat")
        await receiver.message("all is well")
    await juliet.no_message()
    await here.delivered()


@with_each("the other server is killed in the middle of traffic and started again")
async def killed(case, kind):
    here = await Neighbours.settle(case, kind)
    romeo, juliet = await here.people()
    await befriend(romeo, juliet)
    # ejabberd does not have it on disk at once.
    await asyncio.sleep(3)
    traffic = await Traffic(romeo, juliet.boundjid.bare).send(30)
    broke = time.monotonic()
    await here.peer.kill()
    before = waiting(juliet)
    await traffic.send(30)
    await traffic.accepted()
    await reason(romeo, "refused")
    await here.peer.start()
    await here.delivered()
    juliet = await here.juliet()
    traffic.judge(before, await numbers(juliet, traffic.last), broke)
    await romeo.presence(juliet.boundjid.full)
    await juliet.presence(romeo.boundjid.full)
    await heals(here, romeo, juliet)


@with_each("waxwing is killed with a full outbox, and again with links up")
async def own_killed(case, kind):
    here = await Neighbours.settle(case, kind, queue_messages=50)
    romeo, juliet = await here.people()
    await here.peer.kill()
    traffic = await Traffic(romeo, juliet.boundjid.bare).send(50, pause=0)
    await traffic.accepted()
    romeo.send_message(juliet.boundjid.bare, "one too many", mtype="chat")
    refused = await romeo.message()
    equal(refused["error"]["condition"], "resource-constraint", f"the error {refused}")
    await here.own.kill()
    await asyncio.gather(here.peer.start(), here.own.serve())
    await here.delivered()
    romeo, juliet = await asyncio.gather(here.romeo(), here.juliet())
    equal(await numbers(juliet, 49), list(range(50)), "numbers")
    traffic = Traffic(romeo, juliet.boundjid.bare)
    await traffic.send(30)
    await traffic.accepted()
    broke = time.monotonic()
    await here.own.kill()
    await here.own.serve()
    romeo = await here.romeo()
    traffic.client = romeo
    await traffic.send(20)
    # What comes again because we were killed before we could forget it comes after the first time.
    came = await numbers(juliet, traffic.last)
    again = next((at for at, number in enumerate(came[1:], 1) if number <= came[at - 1]), len(came))
    traffic.judge(came[:again], came[again:], broke)
    await heals(here, romeo, juliet)


@with_each("its certificate is for another name, then expired, then good again")
async def certificates(case, kind):
    here = await Neighbours.settle(case, kind)
    romeo, juliet = await here.people()
    traffic = await Traffic(romeo, juliet.boundjid.bare).send(5)
    equal(await numbers(juliet, 4), list(range(5)), "numbers")
    wrong, expired = "it is not for mantua.lit but for padua.lit", "it expired on 2024-03-01"
    for names, late, words in ((["padua.lit"], False, wrong), ([THEIRS], True, expired)):
        here.certificate(here.peer, names, expired=late)
        await here.peer.restart()
        await traffic.send(5)
        await traffic.accepted()
        equal(await reason(romeo, words), "remote-server-timeout", "the condition")
        expect(words in here.own.log.read_text(), f"the log does not say {words!r}")
    here.certificate(here.peer, [THEIRS])
    await here.peer.restart()
    await here.delivered()
    juliet = await here.juliet()
    equal(await numbers(juliet, traffic.last), list(range(5, 15)), "numbers")
    await heals(here, romeo, juliet)


@with_each("DNS knows no such name, says that there is no service, names a wrong address, says nothing")
async def dns(case, kind):
    here = await Neighbours.settle(case, kind)
    romeo, juliet = await here.people()
    traffic = await Traffic(romeo, juliet.boundjid.bare).send(5)
    equal(await numbers(juliet, 4), list(range(5)), "numbers")

    async def lie(words, wanted):
        # What DNS said before is remembered so long.
        await asyncio.sleep(TTL + 0.5)
        await here.own.ask("s2s", "close", THEIRS)
        equal(await reason(romeo, words), wanted, f"the condition where {words!r}")

    names = here.names
    names.forget(THEIRS)
    await lie("DNS knows no address of mantua.lit", "remote-server-not-found")
    romeo.send_message(juliet.boundjid.bare, "to nowhere", mtype="chat")
    refused = await romeo.message()
    expect("DNS knows no address" in refused["error"]["text"], f"the error {refused}")
    names.service(THEIRS, (0, 0, 0, "."))
    await lie("says that it has no XMPP server", "remote-server-not-found")
    # From here on it may get better, and messages wait.
    here.true_names()
    names.address(f"xmpp.{THEIRS}", wrong := loopback())
    names.service(THEIRS, (5, 5, here.peer.server_port, f"xmpp.{THEIRS}"))
    await lie(f"{wrong}:{here.peer.server_port}: the connection was refused", "remote-server-timeout")
    await traffic.send(5)
    names.silent = True
    await lie("DNS gave no answer", "remote-server-timeout")
    await traffic.send(5)
    await traffic.accepted()
    names.silent = False
    here.true_names()
    equal(await numbers(juliet, traffic.last), list(range(5, 15)), "numbers")
    await heals(here, romeo, juliet)


@with_each("it is frozen for a moment, then for so long that it is given up")
async def frozen(case, kind):
    here = await Neighbours.settle(case, kind)
    romeo, juliet = await here.people()
    traffic = await Traffic(romeo, juliet.boundjid.bare).send(10)
    here.peer.signal(signal.SIGSTOP)
    await traffic.send(10)
    await asyncio.sleep(1)
    here.peer.signal(signal.SIGCONT)
    await traffic.send(10)
    equal(await numbers(juliet, traffic.last), list(range(30)), "numbers")
    if not any("acknowledged" in link for link in await here.links()):
        # Between servers ejabberd acknowledges nothing, so that nobody can tell that it does not read.
        return await heals(here, romeo, juliet)
    here.peer.signal(signal.SIGSTOP)
    await traffic.send(10)
    await traffic.accepted()
    await reason(romeo, "did not answer in time", patience=40)
    here.peer.signal(signal.SIGCONT)
    await traffic.send(10)
    came = await numbers(juliet, traffic.last)
    # What it had been sent when it froze it may take twice: it could not say that it had it.
    firsts = list(dict.fromkeys(came))
    equal(sorted(firsts), list(range(30, 50)), "numbers")
    doubled = {number for number in came if came.count(number) > 1}
    expect(doubled <= set(range(30, 40)), f"doubled: {doubled}")
    await asyncio.sleep(SILENCE)
    await heals(here, romeo, juliet)


@check("waxwing", "what could not be delivered in its time goes back to its sender, with the reason", apart=True)
async def given_up(case):
    here = await Neighbours.settle(case, Prosody, give_up_after="2s", peer=False)
    account = await here.own.new_account("romeo", here.own.domain)
    romeo = await here.enter(here.own, account)
    sent = [romeo.make_message(f"juliet@{THEIRS}", f"number {number}", mtype="chat") for number in range(5)]
    for message in sent:
        message["id"] = message["body"].replace(" ", "-")
        message.send()
    for message in sent:
        answer = await romeo.message()
        equal((answer["type"], answer["id"]), ("error", message["id"]), "the answer")
        equal(answer["error"]["condition"], "remote-server-timeout", "the condition")
        expect("the connection was refused" in answer["error"]["text"], f"the reason in {answer}")
    await here.linked(lambda links: not links or links[0].split()[-1] == "0", "an empty outbox")
