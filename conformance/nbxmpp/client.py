"""A client by nbxmpp, the library of Gajim: lines of JSON on standard input are sent as messages, what happens is printed."""

import json
import os
import sys

from gi.repository import Gio, GLib
from nbxmpp.client import Client
from nbxmpp.const import ConnectionProtocol, ConnectionType, StreamState
from nbxmpp.protocol import JID, Iq, Message, Presence
from nbxmpp.structs import StanzaHandler

ca, host, way, address, password, *stay = sys.argv[1:]
Gio.TlsBackend.get_default().set_default_database(Gio.TlsFileDatabase.new(ca))
localpart, domain = address.split("@")

client = Client()
client.set_username(localpart)
client.set_domain(domain)
client.set_password(password)
client.set_resource("gajim")
client.set_custom_host(host, ConnectionProtocol.TCP, ConnectionType(way))
loop = GLib.MainLoop()
told, unfinished = [], bytearray()


def say(*what):
    print(*what, flush=True)


def connected(*_):
    say("online", client.get_bound_jid(), "with" if client.sm_supported else "without", "stream management")
    client.get_module("Roster").request_roster(callback=roster)


def roster(task):
    for item in task.finish().items:
        say("contact", item.jid, item.name, item.subscription)
    client.send_stanza(Presence())
    say("is available")
    work()


def resumed(*_):
    say("resumed")
    # Once it is done with it.
    GLib.idle_add(work)


def ended(*_):
    say("ended", *client.get_error()[:2])
    if stay:
        GLib.timeout_add(300, client.connect)
    else:
        loop.quit()


def message(_client, _stanza, properties):
    if not properties.body:
        return
    how = "sent before" if properties.has_server_delay or properties.is_mam_message else "sent now"
    if properties.is_carbon_message:
        how = f"as carbon {properties.carbon.type}"
    archived = properties.mam.id if properties.is_mam_message else "".join(one.id for one in properties.stanza_ids)
    say("message", properties.from_, how, properties.body, f"[{archived}]")


def carbons():
    iq = Iq("set")
    iq.addChild("enable", namespace="urn:xmpp:carbons:2")
    client.send_stanza(iq)
    say("carbons")


def archive(after=None):
    """Page by page."""
    query = client.get_module("MAM").make_query
    query(JID.from_string(address), queryid="pages", after=after, max_=10, callback=page)


def page(task):
    found = task.finish()
    say("page", "last" if found.complete else "of several")
    if not found.complete:
        archive(found.rsm.last)


def heard(source, _condition):
    # Not by lines: what Python has read ahead wakes nobody.
    data = os.read(source, 65536)
    if not data:
        stay.clear()
        client.disconnect()
        return False
    *lines, rest = (unfinished + data).split(b"\n")
    unfinished[:] = rest
    told.extend(map(json.loads, lines))
    work()
    return True


def work(*_):
    """What it was told, as soon as there is somebody to tell."""
    while told and client.state is StreamState.ACTIVE:
        what = told.pop(0)
        if "do" in what:
            {"carbons": carbons, "archive": archive}[what["do"]]()
        else:
            client.send_stanza(Message(to=what["to"], body=what["body"], typ="chat"))


client.subscribe("connected", connected)
client.subscribe("resume-successful", resumed)
client.subscribe("disconnected", ended)
client.subscribe("connection-failed", ended)
client.register_handler(StanzaHandler(name="message", callback=message))
GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_IN | GLib.IO_HUP, heard)
client.connect()
loop.run()
