"""A small DNS server on loopback, with names that can be made to lie."""

import asyncio

from dnslib import QTYPE, RCODE, RR, SRV, A, DNSRecord

# Nobody is to remember an answer for longer than a check lasts.
TTL = 1


class NameServer(asyncio.DatagramProtocol):
    """`records` has lists of records by (name, type); names that are not in it do not exist. `silent`: no answers at all."""

    def __init__(self):
        self.records, self.silent, self.asked = {}, False, []

    @classmethod
    async def start(cls, case, host, port=0):
        """Listens on a port that the system gives, if none is named."""
        server = cls()
        loop = asyncio.get_running_loop()
        server.transport, _ = await loop.create_datagram_endpoint(lambda: server, local_addr=(host, port))
        server.host, server.port = server.transport.get_extra_info("sockname")

        async def close():
            server.transport.close()

        case.closing(close)
        return server

    def address(self, name, ip):
        self.records[name, "A"] = [A(ip)]

    def service(self, domain, *records, direct=False, kind="server"):
        """Each record: priority, weight, port, target."""
        name = f"_xmpp{'s' if direct else ''}-{kind}._tcp.{domain}"
        self.records[name, "SRV"] = [SRV(*record) for record in records]

    def forget(self, domain):
        """Nothing of the domain exists any more."""
        self.records = {key: found for key, found in self.records.items() if not key[0].endswith(domain)}

    def datagram_received(self, data, source):
        request = DNSRecord.parse(data)
        name, kind = str(request.q.qname).rstrip(".").lower(), QTYPE[request.q.qtype]
        self.asked.append((name, kind))
        if self.silent:
            return
        reply = request.reply()
        found = self.records.get((name, kind), [])
        for rdata in found:
            reply.add_answer(RR(name, request.q.qtype, rdata=rdata, ttl=TTL))
        if not found and not any(name == known or known.endswith(f".{name}") for known, _ in self.records):
            reply.header.rcode = RCODE.NXDOMAIN
        self.transport.sendto(reply.pack(), source)
