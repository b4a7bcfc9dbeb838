"""Networks of their own, as the kernel has them: an Internet, and homes behind routers that translate addresses."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

from check import Skip

# Not one that is set aside for examples, which the relay does not relay to; nothing here leaves this machine.
INTERNET = "198.51.101"


class Network:
    """A network namespace, held by a process that sleeps."""

    def __init__(self, process, enter):
        self.process, self.enter = process, [*enter, "--target", str(process.pid), "--net"]

    async def run(self, *command, text=None):
        """Runs a short program in it."""
        process = await asyncio.create_subprocess_exec(
            *self.enter, *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output, _ = await process.communicate(text and text.encode())
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {output.decode()}")

    async def close(self):
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


class Internet:
    """A bridge to which routers and servers are connected, each with an address `INTERNET.n`."""

    def __init__(self, case, outside):
        self.case, self.outside, self.count = case, outside, 0

    @classmethod
    async def build(cls, case):
        """Skipped where the machine has no tools for it, or does not let us."""
        missing = [tool for tool in ("ip", "nft", "unshare", "nsenter") if tool_path(tool) is None]
        if missing:
            raise Skip(f"{', '.join(missing)} is not installed")
        # Whoever is root here need not become it.
        own, enter = ([], ["nsenter"]) if os.geteuid() == 0 else (["--user", "--map-root-user"], ["nsenter", "--user", "--preserve-credentials"])
        outside = await hold(case, ["unshare", *own, "--net"], enter)
        internet = cls(case, outside)
        try:
            await outside.run(tool_path("ip"), "link", "add", "bridge", "type", "bridge")
            await outside.run(tool_path("ip"), "link", "set", "bridge", "up")
            await outside.run(tool_path("nft"), "list", "tables")
        except RuntimeError as error:
            raise Skip(f"networks of our own are not allowed here: {error}") from None
        return internet

    async def network(self):
        """A new one, without any connection."""
        network = await hold(self.case, [*self.outside.enter, "unshare", "--net"], self.outside.enter[:-3])
        await ip(network, "link set lo up")
        return network

    async def connect(self, one, name, other, other_name):
        """A cable between two."""
        await ip(one, f"link add {name} type veth peer name {other_name} netns {other.process.pid}")
        for network, end in ((one, name), (other, other_name)):
            await ip(network, f"link set {end} up")

    async def public(self, network):
        """Gives a network an address here."""
        self.count += 1
        address = f"{INTERNET}.{self.count}"
        await self.connect(self.outside, f"port{self.count}", network, "outside")
        await ip(self.outside, f"link set port{self.count} master bridge")
        await ip(network, f"address add {address}/24 dev outside")
        return address

    async def behind(self, rules):
        """A network behind a router with rules of nftables, in which OUTSIDE is the address of the router; the network and that
        address. It is 10.0.0.2 itself."""
        router, home = await self.network(), await self.network()
        address = await self.public(router)
        await self.connect(router, "inside", home, "out")
        await ip(router, "address add 10.0.0.1/24 dev inside")
        await ip(home, "address add 10.0.0.2/24 dev out")
        await ip(home, "route add default via 10.0.0.1")
        await router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        await router.run(tool_path("nft"), "-f", "-", text=rules.replace("OUTSIDE", address))
        return home, address


def tool_path(tool):
    return shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


async def ip(network, arguments):
    await network.run(tool_path("ip"), *arguments.split())


async def hold(case, make, enter):
    process = await asyncio.create_subprocess_exec(
        *make, "sleep", "infinity", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    network = Network(process, enter)
    case.closing(network.close)
    # Until it sleeps it is not where it shall be.
    while process.returncode is None and "sleep" not in (Path("/proc") / str(process.pid) / "comm").read_text():
        await asyncio.sleep(0.01)
    if process.returncode is not None:
        raise Skip(f"networks of our own are not allowed here: {(await process.stderr.read()).decode().strip()}")
    return network
