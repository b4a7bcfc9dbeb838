"""Servers that others wrote, each with a configuration of its own in a folder of its own, on an address of its own."""

import asyncio
import os
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

from check import Wrong
from server import Account
from xmpp import Client

# Seconds until a server answers on a loaded machine.
PATIENCE = 40

PROSODY = """
run_as_root = true
daemonize = false
pidfile = "{folder}/prosody.pid"
data_path = "{folder}/data"
interfaces = {{ "{host}" }}
c2s_ports = {{ 15222 }}
s2s_ports = {{ {port} }}
s2s_direct_tls_ports = {{ {direct_port} }}
modules_enabled = {{
    "disco"; "roster"; "saslauth"; "tls"; "dialback"; "smacks"; "vcard_legacy"; "vcard4"; "pep"; "ping"; "register";
    "version"; "carbons"; "blocklist"; {more}
}}
modules_disabled = {{ {less} }}
allow_registration = true
authentication = "internal_hashed"
storage = "internal"
c2s_require_encryption = true
s2s_require_encryption = true
s2s_secure_auth = {certified}
unbound = {{
    hoststxt = false; resolvconf = false; forward = {{ "{dns_host}@{dns_port}" }};
    options = {{ ["do-not-query-localhost:"] = "no" }};
}}
s2s_direct_tls_ssl = {{ certificate = "{folder}/server.pem"; key = "{folder}/server.key"; cafile = "{authorities}" }}
log = {{ debug = "{folder}/log" }}
VirtualHost "{domain}"
    ssl = {{ certificate = "{folder}/server.pem"; key = "{folder}/server.key"; cafile = "{authorities}" }}
"""

PROSODY_ROOMS = """
Component "{rooms}" "muc"
    ssl = {{ certificate = "{folder}/server.pem"; key = "{folder}/server.key"; cafile = "{authorities}" }}
"""

PROSODY_NODES = """
Component "{nodes}" "pubsub"
    ssl = {{ certificate = "{folder}/server.pem"; key = "{folder}/server.key"; cafile = "{authorities}" }}
    admins = {{ "{keeper}" }}
    autocreate_on_publish = true
"""

EJABBERD = """
loglevel: debug
hosts: ["{domain}"]
certfiles: ["{folder}/both.pem"]
ca_file: "{authorities}"
listen:
  - {{port: 15222, ip: "{host}", module: ejabberd_c2s, starttls_required: true}}
  - {{port: {port}, ip: "{host}", module: ejabberd_s2s_in}}
  - {{port: {direct_port}, ip: "{host}", module: ejabberd_s2s_in, tls: true}}
outgoing_s2s_ipv4_address: "{host}"
outgoing_s2s_families: [ipv4]
s2s_use_starttls: required
s2s_dns_timeout: 4 seconds
s2s_timeout: 20 seconds
s2s_max_retry_delay: 1 second
registration_timeout: infinity
acl: {{loopback: {{ip: [127.0.0.0/8]}}}}
access_rules: {{trusted_network: {{allow: loopback}}}}
modules:
  mod_disco: {{}}
  mod_offline: {{}}
  mod_ping: {{}}
  mod_register: {{ip_access: trusted_network}}
  mod_roster: {{}}
{more}  mod_stream_mgmt: {{}}
  mod_vcard: {{search: false}}
  mod_version: {{}}
"""


class Peer:
    """Clients connect to `host` and `port`; other servers find it as DNS says."""

    # Not the usual ones: where the package was installed its own server may listen there.
    port, server_port, direct_port = 15222, 15269, 15270

    def __init__(self, folder, host, domain, authorities, ca, names):
        """`authorities` are what it believes, `ca` signed for it."""
        self.folder, self.host, self.domain, self.names = Path(folder), host, domain, names
        self.authorities, self.ca = authorities, ca
        self.process = None
        self.accounts = 0
        # The domains of its rooms and of its nodes, if it has any, and who may make nodes.
        self.rooms = self.nodes = None
        self.keeper = f"juliet1@{domain}"

    def values(self):
        return {
            "folder": self.folder,
            "host": self.host,
            "domain": self.domain,
            "authorities": self.authorities,
            "dns_host": self.names.host,
            "dns_port": self.names.port,
            "port": self.server_port,
            "direct_port": self.direct_port,
        }

    async def start(self):
        command, environment = self.command()
        with (self.folder / "output").open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *map(str, command), env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        for _ in range(PATIENCE * 5):
            if await answers(self.host, self.port) and await answers(self.host, self.server_port):
                return
            if self.process.returncode is not None:
                break
            await asyncio.sleep(0.2)
        raise Wrong(f"{type(self).__name__} does not start: {(self.folder / 'output').read_text()[-500:]}")

    def finds(self, name, ip):
        """What an SRV record is to point to for it."""
        return name

    def signal(self, number):
        self.process.send_signal(number)

    async def kill(self):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def restart(self):
        """Killed, and started again."""
        await self.kill()
        await self.start()

    async def stop(self):
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            async with asyncio.timeout(10):
                await self.process.wait()
        except TimeoutError:
            await self.kill()

    def noted(self):
        """It was told something that it is to know after a kill."""

    async def new_account(self, name):
        """Registered in band."""
        self.accounts += 1
        account = Account(f"{name}{self.accounts}@{self.domain}", "a rose by any other name")
        client = Client(self, account.address, account.password, plugins=("xep_0077",))
        client["xep_0077"].force_registration = True

        async def register(_):
            iq = client.Iq()
            iq["type"] = "set"
            iq["register"]["username"] = client.boundjid.user
            iq["register"]["password"] = account.password
            await iq.send()

        client.add_event_handler("register", register)
        await client.login()
        await client.close()
        return account


class Prosody(Peer):
    name = "prosody"
    # As authorities issue certificates now.
    usage = "serverAuth"

    def configure(self, *, certified, bidi):
        text = PROSODY.format(
            **self.values(),
            more='"s2s_bidi";' if bidi else "",
            less="",
            certified="true" if certified else "false",
        )
        if self.rooms:
            text += PROSODY_ROOMS.format(**self.values(), rooms=self.rooms)
        if self.nodes:
            text += PROSODY_NODES.format(**self.values(), nodes=self.nodes, keeper=self.keeper)
        (self.folder / "prosody.cfg.lua").write_text(text)

    def command(self):
        return ["prosody", "--config", self.folder / "prosody.cfg.lua"], dict(os.environ)


class Ejabberd(Peer):
    name = "ejabberd"
    # What calls must have a certificate for clients too.
    usage = "serverAuth,clientAuth"
    # When all it was told is on its disk.
    written = 0

    def configure(self, *, certified, bidi):
        # It knows no bidi. Without dialback nothing but a certificate proves a domain.
        more = "" if certified else "  mod_s2s_dialback: {}\n"
        if self.rooms:
            more += f"  mod_muc: {{host: {self.rooms}, access_create: all}}\n"
        if self.nodes:
            more += f"  mod_pubsub: {{host: {self.nodes}, access_createnode: all, plugins: [flat]}}\n"
        (self.folder / "ejabberd.yml").write_text(EJABBERD.format(**self.values(), more=more))
        address = "{" + self.names.host.replace(".", ",") + "}"
        (self.folder / "inetrc").write_text(
            f'{{resolv_conf,""}}.\n{{nameserver,{address},{self.names.port}}}.\n{{lookup,[file,dns]}}.\n'
        )

    def finds(self, name, ip):
        # It asks the system for addresses, which knows nothing of our names.
        return ip

    def noted(self):
        self.written = time.monotonic() + 3

    async def new_account(self, name):
        account = await super().new_account(name)
        self.noted()
        return account

    async def kill(self):
        """Its database writes two seconds later than it says: killed before, it knows nothing of that."""
        await asyncio.sleep(max(0, self.written - time.monotonic()))
        await super().kill()

    async def start(self):
        key, certificate = (self.folder / name for name in ("server.key", "server.pem"))
        (self.folder / "both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
        await super().start()

    def command(self):
        libraries = f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}"
        environment = os.environ | {
            "HOME": str(self.folder),
            "ERL_LIBS": libraries,
            "ERL_INETRC": str(self.folder / "inetrc"),
            "ERL_CRASH_DUMP_BYTES": "0",
            "EJABBERD_CONFIG_PATH": str(self.folder / "ejabberd.yml"),
            "EJABBERD_LOG_PATH": str(self.folder / "log"),
            "EJABBERD_PID_PATH": str(self.folder / "pid"),
        }
        return ["erl", "-noinput", "+P", "250000", "-mnesia", "dir", f'"{self.folder}/spool"', "-s", "ejabberd"], environment


async def answers(host, port):
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
