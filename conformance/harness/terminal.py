"""A program for people, in a terminal of tmux: keys go in, the screen comes out."""

import asyncio
import subprocess
import tempfile
from pathlib import Path

from check import Wrong

PATIENCE = 20


class Terminal:
    """One tmux server with one program; `environment` is added to what the program would have anyway."""

    def __init__(self, folder, command, environment):
        self.socket = Path(folder) / "tmux"
        settings = [f"{name}={value}" for name, value in environment.items()]
        self.tmux("new-session", "-d", "-x", "150", "-y", "60", "env", *settings, *command)
        self.tmux("set-option", "-g", "remain-on-exit", "on")

    def tmux(self, *arguments):
        command = ["tmux", "-S", str(self.socket), "-f", "/dev/null", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout

    def type(self, line):
        self.tmux("send-keys", "-l", "--", line)
        self.tmux("send-keys", "Enter")

    def screen(self):
        return self.tmux("capture-pane", "-p", "-J")

    async def sees(self, *texts):
        """The screen once it shows all of the texts."""
        for _ in range(PATIENCE * 5):
            screen = self.screen()
            if all(text in screen for text in texts):
                return screen
            await asyncio.sleep(0.2)
        raise Wrong("\n".join([f"not on the screen: {' and '.join(texts)}", *filter(str.strip, screen.splitlines())]))

    async def close(self):
        self.tmux("kill-server")


def own_folder(parent):
    return Path(tempfile.mkdtemp(dir=parent))
