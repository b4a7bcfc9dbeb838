"""The waxwing under test, with a CA made for it, on loopback."""

import asyncio
import re
import secrets
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

DOMAIN = "capulet.test"
# For clients that know no SCRAM.
PLAIN_DOMAIN = "plain.capulet.test"
GUEST_DOMAIN = "guests.capulet.test"

# Stands in messages, and may stand nowhere else.
MARK = "wherefore art thou"

CONFIG = """
[server]
data_dir = "{work}/data"

[hosts."{domain}"]
certificate = "{work}/server.pem"
key = "{work}/server.key"
url = "https://127.0.0.3:{proxy_port}"

[hosts."{domain}".modules.api]
enabled = true
requests = 1000
guesses = 10000

{web_client}
[hosts."{plain_domain}"]
certificate = "{work}/server.pem"
key = "{work}/server.key"
mechanisms = ["SCRAM-SHA-256", "PLAIN"]

[hosts."{plain_domain}".modules.registration]
open = true

[hosts."{guest_domain}"]
certificate = "{work}/server.pem"
key = "{work}/server.key"

[hosts."{guest_domain}".guests]
allowed = true

[modules.pubsub]
enabled = true

[modules.bytestreams]
address = "127.0.0.3:{proxy_port}"

[admin]
admins = ["boss@{domain}"]

[[listen]]
address = "127.0.0.1:0"

[[listen]]
address = "127.0.0.3:{proxy_port}"

[[listen]]
kind = "component"
address = "127.0.0.2:0"

[components.echo]
domains = ["echo.{domain}"]
secret = "the echo of a name"
patience = "1s"

[components.irc]
domains = ["irc.{domain}"]
secret = "a plague on both your houses"
patience = "30s"

[components.push]
domains = ["push.{domain}"]
secret = "the bell that rings for a phone"

[web]
authorities = ["{work}/ca/ca.pem"]
private_addresses = ["127.0.0.1", "::1"]

# The peer of coturn's client is on this machine.
[relay]
listen = ["127.0.0.1:0"]
tls_listen = ["127.0.0.1:0"]
addresses = ["127.0.0.1", "::1"]
private_addresses = ["127.0.0.1", "::1"]

[[modules.external_services.services]]
host = "127.0.0.1"
port = 3479
secret = "we share this alone"
name = "coturn"

# The clients are here to show behaviour, not how fast Python computes PBKDF2.
[auth]
scram_iterations = 4096

[log]
level = "debug"
"""


@dataclass
class Account:
    address: str
    password: str


# Served if the package is here.
WEB_CLIENT = """
[hosts."{domain}".modules.web_client]
folder = "{folder}"
"""


class Server:
    """`ca` is the CA that signed for the server, `wrong_ca` another; both also as folders hashed for OpenSSL."""

    host, component_host = "127.0.0.1", "127.0.0.2"
    domain = DOMAIN
    plain_domain = PLAIN_DOMAIN
    guest_domain = GUEST_DOMAIN
    # Domain and secret of each.
    components = {
        "echo": (f"echo.{DOMAIN}", "the echo of a name"),
        "irc": (f"irc.{DOMAIN}", "a plague on both your houses"),
        "push": (f"push.{DOMAIN}", "the bell that rings for a phone"),
    }

    def __init__(self, binary, work, settings=()):
        self.binary, self.work, self.settings = Path(binary), Path(work), settings
        self.ca, self.wrong_ca = self.work / "ca/ca.pem", self.work / "wrong-ca/ca.pem"
        self.log = self.work / "server.log"
        self.port = self.component_port = None
        self.accounts = []

    async def start(self):
        for ca in (self.ca, self.wrong_ca):
            make_ca(ca)
        sign(self.ca, self.work, [DOMAIN, PLAIN_DOMAIN, GUEST_DOMAIN])
        domains = {"domain": DOMAIN, "plain_domain": PLAIN_DOMAIN, "guest_domain": GUEST_DOMAIN}
        port = free_port("127.0.0.3")
        self.url = f"https://127.0.0.3:{port}"
        folder = self.work / "npm/node_modules/converse.js/dist"
        web_client = WEB_CLIENT.format(domain=DOMAIN, folder=folder) if folder.exists() else ""
        text = CONFIG.format(work=self.work, proxy_port=port, web_client=web_client, **domains)
        (self.work / "waxwing.toml").write_text(text)
        await self.serve()

    async def serve(self):
        """Returns when clients can connect."""
        with self.log.open("ab") as log:
            begin = log.tell()
            self.process = await asyncio.create_subprocess_exec(*self.command("serve"), stderr=log)
        for _ in range(300):
            text = self.log.read_text(errors="replace")[begin:]
            if self.process.returncode is not None:
                break
            port = lambda who: re.search(rf"{who} can connect address=127\.0\.0\.[12]:(\d+)", text)
            if (clients := port("clients")) and (components := port("components")):
                self.port, self.component_port = int(clients[1]), int(components[1])
                return
            await asyncio.sleep(0.1)
        await self.stop()
        raise SystemExit(f"the server did not become ready:\n{text}")

    async def stop(self):
        """Does nothing the second time. The exit status after SIGTERM; None if the server had to be killed."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            async with asyncio.timeout(20):
                return await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
            return None

    async def kill(self):
        """As a power cut would, but for the disk."""
        self.process.kill()
        await self.process.wait()

    def complaints(self):
        """What its log should not say: that something broke, passwords, contents."""
        text = self.log.read_text(errors="replace")
        found = [f"the server's log says: {line}" for line in text.splitlines() if " ERROR " in line or "panicked" in line]
        told = [account.address for account in self.accounts if account.password in text]
        if told:
            found.append(f"the server's log has the passwords of {told}")
        if MARK in text:
            found.append("the server's log has the contents of messages")
        return found

    async def administrator(self):
        """The account that the configuration makes an administrator."""
        boss = Account(f"boss@{self.domain}", "all that glisters")
        if boss not in self.accounts:
            self.accounts.append(boss)
            await self.admin("user", "add", boss.address, "--stdin", line=boss.password)
        return boss

    def command(self, *arguments):
        settings = [word for setting in self.settings for word in ("--set", setting)]
        return [str(self.binary), "--config", str(self.work / "waxwing.toml"), *settings, *arguments]

    async def admin(self, *arguments, line=""):
        """Runs an administrative command, with `line` as standard input; what it prints."""
        process = await asyncio.create_subprocess_exec(
            *self.command(*arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await process.communicate(f"{line}\n".encode())
        if process.returncode != 0:
            raise RuntimeError(f"waxwing {' '.join(arguments)}: {output.decode()}")
        return output.decode()

    async def new_account(self, name, domain=DOMAIN):
        account = Account(f"{name}{len(self.accounts)}@{domain}", secrets.token_urlsafe(9))
        self.accounts.append(account)
        await self.admin("user", "add", account.address, "--stdin", line=account.password)
        return account


def free_port(address):
    """A port that is told to clients has to be known before the server starts."""
    with socket.create_server((address, 0)) as listening:
        return listening.getsockname()[1]


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def make_ca(ca):
    ca.parent.mkdir()
    openssl(
        *["req", "-x509", *KEY, "-days", "90", "-subj", "/CN=A CA for tests"],
        *["-addext", "keyUsage=critical,keyCertSign", "-keyout", ca.with_suffix(".key"), "-out", ca],
    )
    # Some clients take a folder of certificates named by their hashes.
    (ca.parent / "hashed").mkdir()
    (ca.parent / "hashed/ca.pem").write_bytes(ca.read_bytes())
    openssl("rehash", ca.parent / "hashed")


def sign(ca, folder, domains, usage="serverAuth"):
    request, extensions = folder / "request.pem", folder / "extensions"
    # What is asked for by its address is here too.
    names = ",".join([f"DNS:{domain}" for domain in domains] + ["IP:127.0.0.1", "IP:127.0.0.3"])
    extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage={usage}\n")
    openssl("req", *KEY, "-subj", f"/CN={domains[0]}", "-keyout", folder / "server.key", "-out", request)
    openssl(
        *["x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca.with_suffix(".key"), "-CAcreateserial"],
        *["-days", "60", "-extfile", extensions, "-out", folder / "server.pem"],
    )


# `openssl x509` of OpenSSL 3.0 takes no dates.
AUTHORITY = """
[late]
database = {folder}/index
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = anything
[anything]
commonName = supplied
"""


def certify_late(ca, folder):
    """Replaces the certificate that `sign` made by one that expired on 2024-03-01."""
    (folder / "authority").write_text(AUTHORITY.format(folder=folder))
    (folder / "index").write_text("")
    (folder / "serial").write_text("77\n")
    openssl(
        *["ca", "-batch", "-config", folder / "authority", "-name", "late", "-cert", ca],
        *["-keyfile", ca.with_suffix(".key"), "-in", folder / "request.pem", "-extfile", folder / "extensions"],
        *["-startdate", "20240101000000Z", "-enddate", "20240301000000Z", "-notext", "-out", folder / "server.pem"],
    )
