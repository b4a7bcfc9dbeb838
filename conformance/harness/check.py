"""What a check is: an async function that is given a Case and raises Wrong when the server is."""

import asyncio
import contextlib
from pathlib import Path

CONFORMANCE = Path(__file__).resolve().parent.parent

CHECKS = []

# Longer than any check needs on a loaded machine.
LIMIT = 60.0


class Wrong(Exception):
    """The server did something else than it should."""


class Skip(Exception):
    """This machine cannot tell."""


class Check:
    def __init__(self, client, name, behaviour, body, apart, limit):
        self.client, self.name, self.behaviour, self.body = client, name, behaviour, body
        self.apart, self.limit = apart, limit

    async def run(self, server):
        """The result, "pass", "fail" or "skip", and why if it is not "pass"."""
        case = Case(server)
        try:
            async with asyncio.timeout(self.limit):
                await self.body(case)
            return "pass", ""
        except Skip as skip:
            return "skip", str(skip)
        except TimeoutError as timeout:
            return "fail", str(timeout) or f"not done after {self.limit:.0f} s"
        except Wrong as wrong:
            return "fail", str(wrong)
        except Exception as error:
            return "fail", f"{type(error).__name__}: {error}"
        finally:
            await case.close()


def check(client, behaviour, apart=False, limit=LIMIT):
    """Registers a check; its name is CLIENT.FUNCTION. One that is apart has its own servers, and runs beside others."""

    def register(body):
        CHECKS.append(Check(client, f"{client}.{body.__name__}", behaviour, body, apart, limit))
        return body

    return register


class Case:
    """What one check has: accounts of its own, and things that are closed when it is over."""

    def __init__(self, server):
        self.server = server
        self.opened = contextlib.AsyncExitStack()

    async def account(self, name, *domain):
        """A new account whose localpart begins with `name`."""
        return await self.server.new_account(name, *domain)

    def closing(self, close):
        """`close`, an async function, is called at the end."""
        self.opened.push_async_callback(close)

    async def close(self):
        with contextlib.suppress(Exception):
            async with asyncio.timeout(10):
                await self.opened.aclose()


def expect(condition, otherwise):
    if not condition:
        raise Wrong(otherwise)


def equal(found, wanted, what):
    if found != wanted:
        raise Wrong(f"{what}: {found!r} instead of {wanted!r}")


async def within(seconds, future, what):
    """Awaits with a limit; `what` is what did not happen."""
    try:
        async with asyncio.timeout(seconds):
            return await future
    except TimeoutError:
        raise Wrong(f"{what} did not happen within {seconds} s") from None
