"""One side of a call, as a program: it is told who and where it is in JSON, says "ready", calls or is called once it reads a
line, says by which way, and ends with its input."""

import asyncio
import json
import sys
from types import SimpleNamespace

from check import Case
from phone import Phone


async def main():
    wishes = json.loads(sys.argv[1])
    case = Case(SimpleNamespace(**wishes["server"]))
    account = SimpleNamespace(**wishes["account"])
    try:
        phone = await Phone.ready(case, account, "udp", wishes["servers"])
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await phone.meet(wishes["other"])
        way = await (phone.call(wishes["other"]) if wishes["calls"] else phone.answer())
        print("way", *way, flush=True)
        await asyncio.to_thread(sys.stdin.read)
    finally:
        await case.close()


asyncio.run(main())
