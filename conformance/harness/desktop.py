"""Programs for people, on a desktop that nobody sees: an X server without a screen, a bus, and hands."""

import json
import struct
import zlib
from pathlib import Path

from check import Wrong, within
from program import Program

HANDS = Path(__file__).with_name("hands.py")

# The Python of the system, which knows GTK.
PYTHON = "/usr/bin/python3"

SIZE = "1000x500x24"

# No other thing on the screen has it.
ROSE = (224, 17, 95)

# Longer than the hands wait for anything.
PATIENCE = 14.0


def rose():
    """A picture of one colour, as PNG."""
    side = 64
    rows = (b"\0" + bytes(ROSE) * side) * side

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def is_answer(line):
    return line == "done" or line.startswith("failed ")


class Desktop:
    """`environment` is what programs need that are to appear on it; `folder` is their home."""

    @classmethod
    async def start(cls, case, folder):
        self = cls()
        self.environment = {
            "HOME": folder,
            "XDG_CONFIG_HOME": folder / "config",
            "XDG_DATA_HOME": folder / "data",
            "XDG_CACHE_HOME": folder / "cache",
            "XDG_RUNTIME_DIR": folder,
            "NO_AT_BRIDGE": "0",
            "LC_ALL": "C.UTF-8",
            "GSETTINGS_BACKEND": "memory",
            "GDK_BACKEND": "x11",
        }
        x = ["Xvfb", "-displayfd", "1", "-screen", "0", SIZE, "-nolisten", "tcp", "-noreset"]
        display = await self.open(case, x)
        case.closing(display.leave)
        self.environment["DISPLAY"] = f":{await display.line_if(str.isdigit, 'the number of a display')}"
        address = f"--address=unix:path={folder}/bus"
        bus = await self.open(case, ["dbus-daemon", "--session", "--nofork", "--print-address", address])
        self.environment["DBUS_SESSION_BUS_ADDRESS"] = await bus.line("unix:")
        self.hands = await self.open(case, [PYTHON, HANDS])
        await self.hands.line("ready")
        return self

    async def open(self, case, command):
        """Starts a program."""
        return await Program.start(case, command, self.environment)

    async def do(self, order, **how):
        """One of the functions of hands.py."""
        await self.hands.send(json.dumps({"do": order, **how}))
        answer = await within(PATIENCE, self.hands.line_if(is_answer, order), order)
        if answer != "done":
            missing, screen = json.loads(answer.removeprefix("failed "))
            raise Wrong("\n".join([missing, *screen]))

    async def sees(self, *texts):
        await self.do("sees", texts=texts)

    async def press(self, button):
        await self.do("press", button=button)

    async def picture(self, file, **of):
        await self.do("picture", file=str(file), **of)
