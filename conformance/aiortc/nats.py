"""The same in networks of their own: both sides behind routers that translate addresses, the server too where that is asked."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from check import CONFORMANCE, Wrong, check, equal, expect
from networks import Internet
from program import Program
from server import DOMAIN, Server, make_ca, sign
from terminal import own_folder

CONFIG = """
[server]
data_dir = "{work}/data"

[hosts."{domain}"]
certificate = "{work}/server.pem"
key = "{work}/server.key"

[[listen]]
address = "{address}:5222"

[relay]
external = [{external}]

[auth]
scram_iterations = 4096
"""

# The port stays what it was where it can: two such routers let each other's packets through once both sides have sent some.
KIND = """table ip nat {
    chain in { type filter hook input priority 0; iifname outside drop; }
    chain out { type nat hook postrouting priority 100; oifname outside masquerade; }
}
"""
# Another port for each destination: nobody outside can tell which, so that only a relay helps.
UNKIND = KIND.replace("masquerade", "masquerade fully-random")
# One to one, as clouds do it.
CLOUD = """table ip nat {
    chain in { type nat hook prerouting priority -100; iifname outside dnat to 10.0.0.2; }
    chain out { type nat hook postrouting priority 100; oifname outside snat to OUTSIDE; }
}
"""


class Remote(Server):
    """A waxwing in a network of its own; `address` is where it listens, `host` where it is reached."""

    def configure(self, network, address, host):
        self.network, self.host, self.port = network, host, 5222
        make_ca(self.ca)
        sign(self.ca, self.work, [DOMAIN])
        external = f'"{host}"' if host != address else ""
        values = {"work": self.work, "domain": DOMAIN, "address": address, "external": external}
        (self.work / "waxwing.toml").write_text(CONFIG.format(**values))

    async def serve(self):
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(*self.network.enter, *self.command("serve"), stderr=log)
        for _ in range(300):
            text = self.log.read_text(errors="replace")
            if self.process.returncode is not None:
                break
            if re.search(r"clients can connect address=", text):
                return
            await asyncio.sleep(0.1)
        raise Wrong(f"waxwing does not start: {text[-500:]}")

    async def told(self):
        """What `waxwing check` says where it is."""
        process = await asyncio.create_subprocess_exec(
            *self.network.enter, *self.command("check"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        return output.decode()


async def serve(case, internet, behind=None):
    """A server in that Internet, or behind a router of it."""
    if behind:
        network, host = await internet.behind(behind)
        address = "10.0.0.2"
    else:
        network = await internet.network()
        host = address = await internet.public(network)
    server = Remote(case.server.binary, own_folder(case.server.work))
    server.configure(network, address, host)
    case.closing(server.stop)
    await server.serve()
    return server


async def side(case, server, network, wishes):
    """A program that calls or is called, in that network."""
    reached = {"host": server.host, "port": server.port, "ca": str(server.ca), "domain": server.domain}
    wishes = json.dumps(wishes | {"server": reached})
    path = os.pathsep.join([str(CONFORMANCE / "harness")])
    command = [*network.enter, sys.executable, Path(__file__).with_name("client.py"), wishes]
    program = await Program.start(case, command, {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"})
    await program.line("ready")
    return program


async def call(case, routers, servers, behind=None, hidden=False):
    """The ways that a call between two networks takes, as both sides see it."""
    internet = await Internet.build(case)
    server = case.server = await serve(case, internet, behind)
    accounts = [await server.new_account(name) for name in ("juliet", "romeo")]
    if hidden:
        await server.admin("calls", "--account", accounts[0].address, "--way", "relay")
    sides = []
    for at, account in enumerate(accounts):
        network, _ = await internet.behind(routers)
        other = f"{accounts[1 - at].address}/phone"
        wishes = {"account": vars(account), "other": other, "calls": at == 0, "servers": servers}
        sides.append(await side(case, server, network, wishes))
    for program in sides:
        await program.send("go")
    return [(await program.line("way ")).split()[1:] for program in sides]


@check("aiortc", "two behind routers that translate addresses, through the relay alone", apart=True)
async def behind_routers_relayed(case):
    equal(await call(case, KIND, ["turn"]), [["relay", "relay"]] * 2, "the ways")


@check("aiortc", "two behind routers that translate addresses, directly by what STUN told them", apart=True)
async def behind_routers_directly(case):
    ways = await call(case, KIND, ["stun"])
    expect("relay" not in str(ways), f"the call went by {ways}")


@check("aiortc", "two behind routers that let nobody through, by the relay where nothing else works", apart=True)
async def behind_strict_routers(case):
    ways = await call(case, UNKIND, ["stun", "turn"])
    expect(all("relay" in way for way in ways), f"the call went by {ways}")


@check("aiortc", "an account that hides where it is: a relay for both, though their routers would let them through", apart=True)
async def behind_routers_hidden(case):
    equal(await call(case, KIND, ["stun", "turn"], hidden=True), [["relay", "relay"]] * 2, "the ways")


@check("aiortc", "the server as well behind a router that translates one to one (relay.external)", apart=True)
async def server_behind_a_router(case):
    equal(await call(case, UNKIND, ["turn"], CLOUD), [["relay", "relay"]] * 2, "the ways")
    told = await case.server.told()
    expect("gives out 198.51.101.1, which reaches this machine as 10.0.0.2" in told, f"waxwing check said: {told}")
