"""A client by nbxmpp, the library of Gajim: lines of JSON on standard input are sent as messages, what happens is printed."""

import json
import sys

from gi.repository import Gio, GLib
from nbxmpp.client import Client
from nbxmpp.const import ConnectionProtocol, ConnectionType
from nbxmpp.protocol import Message, Presence
from nbxmpp.structs import StanzaHandler

ca, host, way, address, password = sys.argv[1:6]
Gio.TlsBackend.get_default().set_default_database(Gio.TlsFileDatabase.new(ca))
localpart, domain = address.split("@")

client = Client()
client.set_username(localpart)
client.set_domain(domain)
client.set_password(password)
client.set_resource("gajim")
client.set_custom_host(host, ConnectionProtocol.TCP, ConnectionType(way))
loop = GLib.MainLoop()


def say(*what):
    print(*what, flush=True)


def connected(*_):
    say("online", client.get_bound_jid(), "with" if client.sm_supported else "without", "stream management")
    client.get_module("Roster").request_roster(callback=roster)


def roster(task):
    for item in task.finish().items:
        say("contact", item.jid, item.name, item.subscription)
    client.send_stanza(Presence())
    say("available")


def ended(*_):
    say("ended", *client.get_error()[:2])
    loop.quit()


def message(_client, _stanza, properties):
    if properties.body:
        say("message", properties.jid, "sent before" if properties.has_server_delay else "sent now", properties.body)


def line(source, _condition):
    text = source.readline()
    if not text:
        client.disconnect()
        return False
    told = json.loads(text)
    client.send_stanza(Message(to=told["to"], body=told["body"], typ="chat"))
    return True


client.subscribe("connected", connected)
client.subscribe("disconnected", ended)
client.subscribe("connection-failed", ended)
client.register_handler(StanzaHandler(name="message", callback=message))
GLib.io_add_watch(sys.stdin, GLib.IO_IN | GLib.IO_HUP, line)
client.connect()
loop.run()
