"""schemathesis asks the administration over HTTP what its own description says may be asked, and what it says may not."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

from breaks import own_server
from check import Skip, Wrong, check

# What a string means the description does not tell to the last character: addresses of accounts, names of rooms.
LEFT_OUT = "positive_data_acceptance"


@check("schemathesis", "what the OpenAPI document says is so: statuses, bodies, what is refused", apart=True, limit=240)
async def description(case):
    program = shutil.which("st", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        raise Skip("no schemathesis here")
    server = await own_server(case)
    made = await server.admin("token", "add", "all", "all", "--server", "--host", server.domain)
    token = re.search(r"waxwing_\w+", made)[0]
    command = [
        *[program, "run", f"{server.url}/api/v1/openapi.json", "--tls-verify", server.ca, "--no-color"],
        *["--header", f"Authorization: Bearer {token}", "--max-examples", "3", "--seed", "1"],
        *["--phases", "examples,coverage,fuzzing", "--exclude-checks", LEFT_OUT],
        *["--exclude-path-regex", "^/(restart|shutdown)$"],
    ]
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=server.work,
    )
    case.closing(end_of(process))
    said, _ = await process.communicate()
    (server.work / "schemathesis.log").write_bytes(said)
    if process.returncode != 0:
        raise Wrong(said.decode()[-2_000:])


def end_of(process):
    async def end():
        if process.returncode is None:
            process.kill()
            await process.wait()

    return end
