"""biboumi, a gateway to IRC, as a component (XEP-0114); ngircd is the IRC network, on an address of its own."""

import asyncio
import random
import shutil

from check import Skip, check, equal, expect, within
from program import Program
from xmpp import PATIENCE, login

PORT = 6667  # The one that biboumi tries without being told.
CHANNEL = "#verona"

IRCD = """
[Global]
Name = irc.verona.test
Info = for tests
Listen = {address}
Ports = {port}
ServerGID = {group}
ServerUID = {user}
[Limits]
MaxConnectionsIP = 0
MaxNickLength = 20
[Options]
DNS = no
Ident = no
PAM = no
OperCanUseMode = no
"""

GATEWAY = """
hostname={domain}
password={secret}
xmpp_server_ip={host}
port={port}
db_name={folder}/biboumi.sqlite
fixed_irc_server={address}
persistent_by_default=false
log_level=1
identd_port=0
policy_directory={folder}
"""


class Irc:
    """Somebody on the IRC side."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def enter(cls, case, address, nick):
        for _ in range(PATIENCE * 10):
            try:
                irc = cls(*await asyncio.open_connection(address, PORT))
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.1)
        else:
            raise Skip("ngircd does not listen")
        case.closing(irc.close)
        irc.say(f"NICK {nick}", f"USER {nick} 0 * :{nick}", f"JOIN {CHANNEL}")
        await irc.line(" 366 ")
        return irc

    def say(self, *lines):
        for line in lines:
            self.writer.write(f"{line}\r\n".encode())

    async def line(self, part):
        """The next line that contains this."""

        async def search():
            while part not in (line := (await self.reader.readline()).decode()):
                if line.startswith("PING"):
                    self.say(line.strip().replace("PING", "PONG"))
                expect(line, f"the IRC server went away before it said {part!r}")
            return line.strip()

        return await within(PATIENCE, search(), f"{part!r} on IRC")

    async def close(self):
        self.writer.close()


async def network(case):
    """An IRC network, and a gateway to it that is attached; its domain, and the network's address."""
    if not shutil.which("biboumi") or not (ngircd := shutil.which("ngircd", path="/usr/sbin:/usr/bin")):
        raise Skip("biboumi or ngircd is not installed")
    folder = case.server.work / "biboumi"
    folder.mkdir(exist_ok=True)
    address = ".".join(map(str, (127, random.randint(64, 127), random.randint(0, 255), random.randint(2, 254))))
    names = {"address": address, "port": PORT, "user": "nobody", "group": "nogroup"}
    folder.chmod(0o755)
    (folder / "ngircd.conf").write_text(IRCD.format(**names))
    await Program.start(case, [ngircd, "--nodaemon", "--config", folder / "ngircd.conf"])
    domain, secret = case.server.components["irc"]
    port = case.server.component_port
    config = GATEWAY.format(domain=domain, secret=secret, host=case.server.component_host, port=port, folder=folder, address=address)
    (folder / "biboumi.cfg").write_text(config)
    await Program.start(case, ["biboumi", folder / "biboumi.cfg"])
    return domain, address


@check("biboumi", "attaches, joins a channel of IRC, and messages go both ways")
async def irc(case):
    domain, address = await network(case)
    mercutio = await Irc.enter(case, address, "mercutio")
    romeo = await login(case, await case.account("romeo"), plugins=("xep_0045",))
    info = await romeo["xep_0030"].get_info(domain, timeout=PATIENCE)
    categories = {identity[0] for identity in info["disco_info"]["identities"]}
    expect("conference" in categories, f"it is no gateway to rooms: {categories}")
    items = await romeo["xep_0030"].get_items(case.server.domain, timeout=PATIENCE)
    expect(domain in {item[0] for item in items["disco_items"]["items"]}, "the host does not list it")
    room = f"{CHANNEL}@{domain}"
    await romeo["xep_0045"].join_muc_wait(room, "romeo", timeout=PATIENCE)
    await mercutio.line("JOIN")
    romeo.send_message(room, "If love be rough with you", mtype="groupchat")
    heard = await mercutio.line("PRIVMSG")
    expect(heard.endswith(":If love be rough with you"), f"on IRC: {heard}")
    equal((await romeo.message("If love be rough with you"))["from"].full, f"{room}/romeo", "its own message")
    mercutio.say(f"PRIVMSG {CHANNEL} :be rough with love")
    equal((await romeo.message("be rough with love"))["from"].full, f"{room}/mercutio", "from IRC")
    # To one person, and back.
    romeo.send_message(f"{room}/mercutio", "in private", mtype="chat")
    expect((await mercutio.line("in private")).startswith(":romeo"), "in private")
    mercutio.say("PRIVMSG romeo :as well")
    await romeo.message("as well")
    romeo.send_presence(pto=f"{room}/romeo", ptype="unavailable")
    await mercutio.line("PART")
