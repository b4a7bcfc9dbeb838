"""Results as a table, compared with what is expected."""

import importlib.metadata
import json
import subprocess
import tomllib
from dataclasses import dataclass

from check import CONFORMANCE, Check

LOCK = CONFORMANCE / "mls/Cargo.lock"


@dataclass
class Outcome:
    check: Check
    result: str
    why: str
    seconds: float
    deviation: str | None

    @property
    def verdict(self):
        if self.result == "fail":
            return "deviation" if self.deviation else "FAIL"
        return "PASS?" if self.result == "pass" and self.deviation else self.result

    @property
    def reason(self):
        """Why, in one line."""
        return self.deviation if self.verdict == "deviation" else self.why.partition("\n")[0]

    @property
    def complaint(self):
        """What is unexpected about it, if anything."""
        if self.verdict == "FAIL":
            return f"{self.check.name} failed: {self.reason}"
        if self.verdict == "PASS?":
            return f"{self.check.name} passed, but expected.toml knows a deviation: take it out"
        return None


def table(outcomes, known):
    lines = ["| client | behaviour | result | seconds |", "|---|---|---|---|"]
    for outcome in outcomes:
        client = f"{outcome.check.client} {known.get(outcome.check.client, '')}".strip()
        result = outcome.verdict + (f": {outcome.reason}" if outcome.reason else "")
        cells = [client, outcome.check.behaviour, result, f"{outcome.seconds:.1f}"]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def versions(work):
    """The version of each client that is here."""
    return {
        "slixmpp": importlib.metadata.version("slixmpp"),
        "turnutils": debian("coturn"),
        "aiortc": python("aiortc"),
        "schemathesis": python("schemathesis"),
        "invitation": debian("chromium"),
        "mls": crates("openmls", "mls-rs"),
        "profanity": debian("profanity"),
        "nbxmpp": debian("python3-nbxmpp"),
        "go_sendxmpp": debian("go-sendxmpp"),
        "prosody": debian("prosody"),
        "ejabberd": debian("ejabberd"),
        "gajim": debian("gajim"),
        "dino": debian("dino-im"),
        "biboumi": debian("biboumi"),
        "xmppjs": npm(work / "npm/node_modules/@xmpp/client/package.json"),
        "converse": npm(work / "npm/node_modules/converse.js/package.json"),
        "stanza": npm(work / "npm/node_modules/stanza/package.json"),
        "s3rver": npm(work / "npm/node_modules/s3rver/package.json"),
    }


def crates(*names):
    """The versions that the lock file of conformance/mls has."""
    locked = {package["name"]: package["version"] for package in tomllib.loads(LOCK.read_text())["package"]}
    return ", ".join(f"{name} {locked[name]}" for name in names)


def python(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def debian(package):
    query = ["dpkg-query", "--show", "--showformat", "${Version}", package]
    return subprocess.run(query, capture_output=True, text=True).stdout


def npm(package):
    return json.loads(package.read_text())["version"] if package.exists() else ""
