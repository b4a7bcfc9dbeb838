"""OMEMO by slixmpp-omemo: people who publish keys, and write and hear what is encrypted."""

import asyncio

from slixmpp import JID
from slixmpp.exceptions import IqError
from slixmpp.plugins.base import register_plugin

from check import Skip, Wrong, expect, within
from xmpp import PATIENCE, login


OLDER = "eu.siacs.conversations.axolotl"


def keeper():
    """The OMEMO plugin, as slixmpp-omemo wants it completed."""
    try:
        from omemo.storage import Just, Nothing, Storage
        from slixmpp_omemo import XEP_0384
        from slixmpp_omemo.xep_0384 import TrustLevel
    except ImportError as missing:
        raise Skip(f"slixmpp-omemo is not here: {missing}") from None

    class Memory(Storage):
        def __init__(self):
            super().__init__()
            self.values = {}

        async def _load(self, key):
            return Just(self.values[key]) if key in self.values else Nothing()

        async def _store(self, key, value):
            self.values[key] = value

        async def _delete(self, key):
            self.values.pop(key, None)

    class Omemo(XEP_0384):
        name, description = "xep_0384", "OMEMO"
        dependencies = XEP_0384.dependencies
        default_config = {"fallback_message": "encrypted"}

        def plugin_init(self):
            self.memory = Memory()
            super().plugin_init()

        @property
        def storage(self):
            return self.memory

        @property
        def _btbv_enabled(self):
            return True

        async def _devices_blindly_trusted(self, trusted, identifier):
            pass

        async def _prompt_manual_trust(self, undecided, identifier):
            manager = await self.get_session_manager()
            for device in undecided:
                await manager.set_trust(device.bare_jid, device.identity_key, TrustLevel.TRUSTED.value)

    return Omemo


async def equipped(case, account):
    """Somebody online who has published keys of both kinds that are in use."""
    register_plugin(keeper())
    client = await login(case, account, "omemo", available=False, plugins=["xep_0115", "xep_0163", "xep_0380"])
    client.register_plugin("xep_0384")
    await client["xep_0115"].update_caps()
    client.send_presence()
    client["xep_0384"].session_bind(client.boundjid)
    await within(PATIENCE, client["xep_0384"].get_session_manager(), "keys to be published")
    return client


async def published(client, address, devices=1):
    """Returns when somebody has published a list of so many devices and the keys of each, of the older kind that all have."""
    for _ in range(PATIENCE * 2):
        found = await children(client, address, f"{OLDER}.devicelist", "device")
        keys = [await children(client, address, f"{OLDER}.bundles:{device.get('id')}", "preKeyPublic") for device in found]
        if len(found) >= devices and all(keys):
            return
        await asyncio.sleep(0.5)
    raise Wrong(f"{address} does not publish a list of {devices} devices and their keys")


async def children(client, address, node, name):
    """Elements of this name in the items of a node; none, where there is no node."""
    try:
        answer = await client["xep_0060"].get_items(address, node, timeout=PATIENCE)
    except IqError:
        return []
    return answer.xml.findall(f".//{{{OLDER}}}{name}")


async def say(client, address, text):
    """Writes to all devices of somebody."""
    message = client.make_message(mto=address, mbody=text, mtype="chat")
    message.set_from(client.boundjid)
    friend = JID(address)
    await client["xep_0384"].refresh_device_lists({friend})
    encrypted, errors = await client["xep_0384"].encrypt_message(message, friend)
    expect(encrypted, f"nothing was encrypted: {errors}")
    encrypted.send()


async def hear(client):
    """The next text that comes encrypted."""
    sealed = lambda got: bool(client["xep_0384"].is_encrypted(got))
    text = ""
    while not text:
        # Who hears from somebody for the first time answers with a message that is empty.
        got = await client.find(client.messages, sealed, "an encrypted message")
        plain, _ = await client["xep_0384"].decrypt_message(got)
        text = plain["body"]
    return text
