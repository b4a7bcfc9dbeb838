"""Runs the checks against one server and says how the results differ from expected.toml."""

import argparse
import asyncio
import importlib.util
import logging
import shutil
import signal
import sys
import time
import tomllib
from pathlib import Path

from check import CHECKS, CONFORMANCE
from report import Outcome, table, versions
from server import Server

CLIENTS = [
    *["slixmpp", "profanity", "nbxmpp", "go_sendxmpp", "xmppjs", "stanza", "converse", "gajim", "biboumi"],
    *["dino", "turnutils", "aiortc", "s3rver", "invitation", "mls", "schemathesis", "together", "peers"],
]

# Checks with servers of their own that run at once.
AT_ONCE = 4

# Seconds for all checks together.
LIMIT = 900


def main():
    arguments = parse()
    # What clients log is of interest only to who looks for it. asyncio has nothing to say about them.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    logging.basicConfig(filename=arguments.work / "clients.log", level=logging.DEBUG)
    load_checks()
    expected = tomllib.loads((CONFORMANCE / "expected.toml").read_text())
    unknown = set(expected) - {check.name for check in CHECKS}
    if unknown:
        sys.exit(f"expected.toml names no checks of ours: {', '.join(sorted(unknown))}")
    checks = [check for check in CHECKS if not arguments.names or check.name.startswith(tuple(arguments.names))]
    if not checks:
        sys.exit("no check has such a name")
    outcomes, complaints = asyncio.run(run(arguments, checks, expected))
    text = table(outcomes, versions(arguments.work))
    print(text)
    to = arguments.to or arguments.default_to
    to.mkdir(parents=True, exist_ok=True)
    (to / "report.md").write_text(text)
    for name in ("server.log", "clients.log"):
        shutil.copy(arguments.work / name, to / name)
    for picture in arguments.work.glob("*.png"):
        shutil.copy(picture, to / picture.name)
    complaints += [outcome.complaint for outcome in outcomes if outcome.complaint]
    for complaint in complaints:
        print(complaint)
    print(f"the table and the logs are in {to}")
    counts = [sum(outcome.result == result for outcome in outcomes) for result in ("pass", "fail", "skip")]
    print("conformance: {} passed, {} failed, {} skipped".format(*counts))
    sys.exit(1 if complaints else 0)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--default-to", type=Path, required=True)
    parser.add_argument("--to", type=Path, help="where report.md and the logs go")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only checks whose names begin so")
    return parser.parse_args()


def load_checks():
    """Importing a file of checks registers them. A client.py is a program that checks start."""
    for client in CLIENTS:
        for path in sorted(set((CONFORMANCE / client).glob("*.py")) - {CONFORMANCE / client / "client.py"}):
            spec = importlib.util.spec_from_file_location(f"checks_{client}_{path.stem}", path)
            spec.loader.exec_module(importlib.util.module_from_spec(spec))


async def run(arguments, checks, expected):
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    server = Server(arguments.binary, arguments.work)
    await server.start()
    outcomes, complaints = [], []
    end = time.monotonic() + LIMIT

    async def one(check):
        if time.monotonic() > end:
            complaints.append(f"{LIMIT} s were over before {check.name}")
            return
        started = time.monotonic()
        result, why = await check.run(server)
        outcome = Outcome(check, result, why, time.monotonic() - started, expected.get(check.name))
        outcomes.append(outcome)
        print(f"{outcome.verdict:9} {check.name:40} {outcome.seconds:5.1f} s  {why}", flush=True)
        if server.process.returncode is not None:
            complaints.append(f"the server ended during {check.name}")

    try:
        for check in checks:
            if not check.apart and server.process.returncode is None:
                await one(check)
        await side_by_side(one, [check for check in checks if check.apart])
    finally:
        status = await server.stop()
    if status != 0:
        complaints.append(f"the server did not stop cleanly: exit status {status}")
    return outcomes, complaints + server.complaints()


async def side_by_side(one, checks):
    places = asyncio.Semaphore(AT_ONCE)

    async def in_turn(check):
        async with places:
            await one(check)

    await asyncio.gather(*map(in_turn, checks))


main()
