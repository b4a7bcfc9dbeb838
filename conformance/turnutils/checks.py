"""coturn's own clients and peer against the relay, with credentials as an account gets them (XEP-0215): every packet that is
sent comes back, by UDP, TCP and TLS."""

import asyncio
import re
from xml.etree import ElementTree

from check import CONFORMANCE, check, equal, expect, within
from program import Program
from xmpp import login

EXTDISCO = "{urn:xmpp:extdisco:2}"
# Packets of each of two clients, and how long all of them may take.
PACKETS, CLIENTS, PATIENCE = 25, 2, 45
PEER_PORT = 3480
# What is shared with coturn.
SHARED = "we share this alone"
DOCS = CONFORMANCE.parent / "docs"


async def turn(case, account, kind, transport, name=None):
    """The service as the server tells of it."""
    client = await login(case, account)
    iq = client.make_iq_get(ito=case.server.domain)
    iq.append(ElementTree.Element(f"{EXTDISCO}services", type=kind))
    answer = await client.request(iq)
    found = answer.xml.iterfind(f"{EXTDISCO}services/{EXTDISCO}service")
    found = [service for service in found if (service.get("transport"), service.get("name")) == (transport, name)]
    equal(len(found), 1, f"services {kind} by {transport}")
    return found[0]


async def uclient(case, service, *arguments, password=None, peer_at="127.0.0.1", called=None):
    """What turnutils_uclient says in the end; `called` is the peer's address as it is told to it."""
    peer = await Program.start(case, ["turnutils_peer", "-L", peer_at, "-p", str(PEER_PORT)], {})
    command = client(service, *arguments, password=password, called=called or peer_at)
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    case.closing(lambda: ended(process))
    output, _ = await within(PATIENCE, process.communicate(), "the end of turnutils_uclient")
    await peer.close()
    return output.decode()


def client(service, *arguments, password=None, called="127.0.0.1"):
    """The command that uses a service."""
    command = ["turnutils_uclient", "-u", service.get("username"), "-w", password or service.get("password")]
    command += ["-p", service.get("port"), "-n", str(PACKETS), "-m", str(CLIENTS), "-e", called, "-r", str(PEER_PORT)]
    return [*command, *arguments, "127.0.0.1"]


async def ended(process):
    if process.returncode is None:
        process.kill()
        await process.wait()


def all_came_back(output, packets):
    counts = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)", output)
    expect(counts, f"turnutils_uclient said: {output[-500:]}")
    equal(counts[-1], (str(packets), str(packets)), "packets sent and received")
    expect("Total lost packets 0 " in output, f"packets were lost: {output[-500:]}")


def refused(output):
    expect("Cannot complete Allocation" in output, f"turnutils_uclient said: {output[-500:]}")
    expect("tot_recv_msgs" not in output, "it was relayed")


async def relayed(case, kind, transport, *arguments):
    service = await turn(case, await case.account("juliet"), kind, transport)
    # By channels, two ports side by side for each client (RTP and RTCP), and by Send indications.
    all_came_back(await uclient(case, service, *arguments), PACKETS * CLIENTS)
    all_came_back(await uclient(case, service, "-c", "-s", "-l", "1200", *arguments), PACKETS * CLIENTS)


@check("turnutils", "every packet comes back, by UDP")
async def udp(case):
    await relayed(case, "turn", "udp")


@check("turnutils", "every packet comes back, by TCP")
async def tcp(case):
    await relayed(case, "turn", "tcp", "-t")


@check("turnutils", "every packet comes back, by TLS")
async def tls(case):
    await relayed(case, "turns", "tcp", "-t", "-S", "-E", str(case.server.ca))


@check("turnutils", "every packet comes back from a peer with IPv6")
async def ipv6(case):
    service = await turn(case, await case.account("juliet"), "turn", "udp")
    for way in (["-c"], ["-c", "-s", "-l", "1200"]):
        all_came_back(await uclient(case, service, "-x", *way, peer_at="::1"), PACKETS * CLIENTS)


@check("turnutils", "what need not stay in one piece goes, what must is refused (DONT-FRAGMENT), and so is a peer inside")
async def refusals(case):
    service = await turn(case, await case.account("juliet"), "turn", "udp")
    failed = lambda output, why: expect(why in output and "tot_recv_msgs" not in output, f"turnutils_uclient said: {output[-500:]}")
    failed(await uclient(case, service, "-c", "-g"), "error 420 (Unknown Attribute)")
    for inside in ("10.0.0.1", "169.254.169.254", "127.0.0.2"):
        failed(await uclient(case, service, "-c", called=inside), "channel bind: error 403 (Forbidden)")


@check("turnutils", "odd messages, broken ones and such as never end their business do no harm")
async def negative(case):
    service = await turn(case, await case.account("juliet"), "turn", "udp")
    # It goes on for ever with packets that are changed by chance.
    broken = await Program.start(case, client(service, "-c", "-R"))
    for odd in (["-N"], ["-O"], ["-G"]):
        await uclient(case, service, "-c", *odd)
    all_came_back(await uclient(case, service, "-c"), PACKETS * CLIENTS)
    await broken.close()


@check("turnutils", "two clients reach each other through the relay alone")
async def client_to_client(case):
    service = await turn(case, await case.account("juliet"), "turn", "udp")
    all_came_back(await uclient(case, service, "-y", "-c"), PACKETS * CLIENTS)


@check("turnutils", "coturn, configured as docs/calls.md says, takes the credentials that the server gives")
async def coturn(case):
    service = await turn(case, await case.account("juliet"), "turn", "udp", "coturn")
    documented = re.search(r"(?s)its configuration is\n\n```\n(.*?)```", (DOCS / "calls.md").read_text())[1]
    # Everything is on this machine here.
    config = documented.replace("denied-peer-ip=127.0.0.0-127.255.255.255\n", "allow-loopback-peers\n")
    config = config.replace("WHAT-OPENSSL-RAND-HEX-32-PRINTS", SHARED)
    config = re.sub(r"(?m)^(listening-port)=.*$", rf"\1={service.get('port')}", config)
    expect(config.count(SHARED) == 1 and "allow-loopback-peers" in config, "docs/calls.md reads otherwise")
    file = case.server.work / "turnserver.conf"
    file.write_text(f"{config}listening-ip=127.0.0.1\nrelay-ip=127.0.0.1\npidfile={file}.pid\nno-cli\nlog-file=stdout\n")
    server = await Program.start(case, ["turnserver", "-c", file])
    await server.line("IO method (admin thread)")
    all_came_back(await uclient(case, service, "-c"), PACKETS * CLIENTS)
    refused(await uclient(case, service, "-c", password="guess"))
    await server.close()


@check("turnutils", "a wrong password gets nothing")
async def wrong_password(case):
    service = await turn(case, await case.account("juliet"), "turn", "udp")
    refused(await uclient(case, service, password="guess"))


@check("turnutils", "the credentials of an account that was removed get nothing")
async def removed_account(case):
    account = await case.account("romeo")
    service = await turn(case, account, "turn", "udp")
    all_came_back(await uclient(case, service, "-c"), PACKETS * CLIENTS)
    await case.server.admin("user", "delete", account.address, "--yes")
    refused(await uclient(case, service, "-c"))
