"""A program without a terminal: its lines as they come."""

import asyncio
import os
import subprocess

from check import within

PATIENCE = 15


class Program:
    """Lines of standard output and standard error are kept in one queue."""

    def __init__(self, process):
        self.process, self.seen, self.lines = process, [], asyncio.Queue()
        self.reading = asyncio.ensure_future(self.read())

    @classmethod
    async def start(cls, case, command, environment=None):
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            env=os.environ | {name: str(value) for name, value in (environment or {}).items()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        program = cls(process)
        case.closing(program.close)
        return program

    async def read(self):
        async for line in self.process.stdout:
            text = line.decode(errors="replace").rstrip("\n")
            self.seen.append(text)
            self.lines.put_nowait(text)

    async def line(self, text, patience=PATIENCE):
        """The next line that contains the text."""
        return await self.line_if(lambda line: text in line, f"a line with {text!r}", patience)

    async def line_if(self, right, what, patience=PATIENCE):
        """The next line that is right."""

        async def search():
            while not right(line := await self.lines.get()):
                pass
            return line

        try:
            return await within(patience, search(), what)
        except Exception as error:
            error.args = (f"{error}; the program said: {self.seen}",)
            raise

    async def until(self, text):
        """Waits for another line that contains the text; what is printed meanwhile stays in the queue."""
        before = sum(text in line for line in self.seen)

        async def search():
            while sum(text in line for line in self.seen) == before:
                await asyncio.sleep(0.05)

        await within(PATIENCE, search(), f"another line with {text!r}")

    async def send(self, text):
        self.process.stdin.write(f"{text}\n".encode())
        await self.process.stdin.drain()

    async def ended(self, text=None):
        """The exit status, once its input is closed, with `text` as the last of it."""
        if text is not None:
            await self.send(text)
        self.process.stdin.close()
        return await within(PATIENCE, self.process.wait(), "the end of the program")

    async def leave(self):
        """It is asked to end, and cleans up after itself."""
        self.process.terminate()
        await self.process.wait()

    async def close(self):
        """It is given time to end what it started itself, such as a browser."""
        if self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), 5)
            except asyncio.TimeoutError:
                self.process.kill()
        await self.process.wait()
        self.reading.cancel()
