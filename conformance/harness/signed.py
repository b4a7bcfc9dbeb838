"""Names in DNS that are signed, as unbound tells them, which checks the signatures."""

import asyncio
import hashlib
import shutil
import subprocess

from check import Skip, Wrong, within

PORT = 15353

# All is in one zone, the root: without it nobody believes that signatures are checked.
ZONE = """
. 60 SOA ns. admin. 1 3600 600 86400 60
. 60 NS ns.
ns. 60 A 127.0.0.1
"""

UNBOUND = """
server:
    interface: {host}@{port}
    directory: "{folder}"
    chroot: ""
    username: ""
    pidfile: ""
    use-syslog: no
    do-daemonize: no
    do-not-query-localhost: no
    module-config: "validator iterator"
    trust-anchor-file: "{folder}/anchor"
remote-control:
    control-enable: no
auth-zone:
    name: "."
    zonefile: "{folder}/zone.signed"
    for-downstream: no
    for-upstream: yes
    fallback-enabled: no
"""


class SignedNames:
    """Asked at `host` and `port`."""

    port = PORT

    def __init__(self, folder, host):
        self.folder, self.host, self.process = folder, host, None

    @classmethod
    async def start(cls, case, folder, host):
        """Knows nothing yet."""
        for tool in ("unbound", "ldns-signzone"):
            if not shutil.which(tool):
                raise Skip(f"{tool} is not installed")
        self = cls(folder, host)
        folder.mkdir()
        self.key = self.run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", ".").strip()
        (folder / "anchor").write_bytes((folder / f"{self.key}.key").read_bytes())
        (folder / "unbound.conf").write_text(UNBOUND.format(host=host, port=PORT, folder=folder))
        case.closing(self.stop)
        return self

    async def publish(self, records, forged=None):
        """Tells these and no others from now on; `forged` is a function that changes the text of the zone after it was signed."""
        await self.stop()
        (self.folder / "zone").write_text(ZONE + "\n".join(records) + "\n")
        self.run("ldns-signzone", "-f", "zone.signed", "-o", ".", "zone", self.key)
        signed = self.folder / "zone.signed"
        if forged:
            was = signed.read_text()
            signed.write_text(forged(was))
            if signed.read_text() == was:
                raise Wrong("nothing was forged")
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                "unbound", "-d", "-c", self.folder / "unbound.conf", stdout=log, stderr=log
            )
        await within(10, self.answers(), "a DNS server")

    async def answers(self):
        while self.process.returncode is None:
            try:
                _, writer = await asyncio.open_connection(self.host, PORT)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            writer.close()
            return
        raise Wrong(f"unbound does not start: {(self.folder / 'log').read_text()[-500:]}")

    async def stop(self):
        if self.process and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    def run(self, *command):
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout


def tlsa(name, port, certificate):
    """The record that names the key of a certificate (DANE-EE, RFC 7671 §5.1)."""
    key = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=True, capture_output=True)
    der = ["openssl", "pkey", "-pubin", "-outform", "DER"]
    der = subprocess.run(der, input=key.stdout, check=True, capture_output=True).stdout
    return f"_{port}._tcp.{name}. 60 TLSA 3 1 1 {hashlib.sha256(der).hexdigest()}"
