"""Files in an object store (S3): s3rver, behind a door at which botocore checks the signature of every request."""

import asyncio
import os
import re
import ssl
import urllib.error
import urllib.request
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from breaks import own_server
from check import Skip, check, equal, expect
from program import Program
from server import free_port
from xmpp import PATIENCE, login

BUCKET = "files"
# The key that s3rver knows.
KEY = "S3RVER"
FILE = os.urandom(3_000_000)


def is_signed(request):
    """Whether botocore would have signed this request so."""
    said = {name: values[0] for name, values in parse_qs(request.query_string).items()}
    signature = said.get("X-Amz-Signature")
    if not signature:
        return False
    region = said["X-Amz-Credential"].split("/")[2]
    auth = S3SigV4QueryAuth(Credentials(KEY, KEY), "s3", region, int(said["X-Amz-Expires"]))
    url = str(request.url).replace(f"&X-Amz-Signature={signature}", "")
    signed = AWSRequest(request.method, url, headers={"Host": request.host})
    signed.context["timestamp"] = said["X-Amz-Date"]
    return auth.signature(auth.string_to_sign(signed, auth.canonical_request(signed)), signed) == signature


class Door:
    """Lets in what is signed."""

    def __init__(self, inside):
        self.inside = inside

    async def open(self, case):
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self.pass_on)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        case.closing(runner.cleanup)
        return runner.addresses[0][1]

    async def pass_on(self, request):
        if not is_signed(request):
            return web.Response(status=403, text="<Error><Code>SignatureDoesNotMatch</Code></Error>")
        body = await request.read()
        headers = {name: request.headers[name] for name in ("Range", "Content-Type") if name in request.headers}
        url = f"http://127.0.0.1:{self.inside}{request.path_qs}"
        try:
            async with aiohttp.ClientSession() as session:
                async with session.request(request.method, url, data=body, headers=headers) as answer:
                    return web.Response(status=answer.status, body=await answer.read())
        except aiohttp.ClientError:
            return web.Response(status=503, text="<Error><Code>ServiceUnavailable</Code></Error>")


class Store:
    """s3rver behind its door, and a waxwing whose files lie there."""

    @classmethod
    async def start(cls, case, secret=KEY):
        self = cls()
        program = case.server.work / "npm/node_modules/s3rver/bin/s3rver.js"
        if not program.exists():
            raise Skip("s3rver is not installed")
        self.folder = case.server.work / f"s3-{os.urandom(4).hex()}"
        self.port = free_port("127.0.0.1")
        self.command = ["node", program, "-d", self.folder, "-a", "127.0.0.1", "-p", self.port]
        self.command += ["--no-vhost-buckets", "--configure-bucket", BUCKET]
        await self.run(case)
        outside = await Door(self.port).open(case)
        settings = {"endpoint": f"http://127.0.0.1:{outside}", "bucket": BUCKET, "access_key": KEY, "secret_key": secret}
        settings = [f"modules.upload.s3.{name}={value}" for name, value in settings.items()]
        self.server = await own_server(case, *settings)
        self.trust = ssl.create_default_context(cafile=self.server.ca)
        return self

    async def run(self, case):
        self.program = await Program.start(case, self.command)
        await self.program.line("listening on")

    async def slot(self, case, size=len(FILE)):
        client = await login(case, await case.account("romeo"), "files", plugins=["xep_0363"])
        service = await client["xep_0363"].find_upload_service(timeout=PATIENCE)
        slot = await client["xep_0363"].request_slot(
            service.get_from(), "balcony.png", size, "image/png", timeout=PATIENCE
        )
        slot = slot["http_upload_slot"]
        return slot["put"]["url"], slot["get"]["url"]

    async def ask(self, url, method="GET", data=None, **headers):
        """Status and body."""

        def exchange():
            request = urllib.request.Request(url, data=data, method=method, headers=headers)
            try:
                with urllib.request.urlopen(request, context=self.trust, timeout=PATIENCE) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()

        return await asyncio.to_thread(exchange)

    async def put(self, url):
        status, _ = await self.ask(url, "PUT", FILE, **{"Content-Type": "image/png"})
        return status

    def objects(self):
        """How many the store has."""
        return len(list(self.folder.rglob("*._S3rver_object")))

    def local(self):
        """How many files lie beside waxwing."""
        files = (self.server.work / "data/files").rglob("*")
        return sum(path.is_file() for path in files)


@check("s3rver", "files lie in the object store alone, come down whole and in parts, and go from there", apart=True, limit=90)
async def files(case):
    store = await Store.start(case)
    put, get = await store.slot(case)
    equal(await store.put(put), 201, "the status of the upload")
    equal((store.objects(), store.local()), (1, 0), "files in the object store, and beside the server")
    equal(await store.ask(get), (200, FILE), "the download")
    part = await store.ask(get, Range="bytes=1000000-1999999")
    equal(part, (206, FILE[1_000_000:2_000_000]), "a part of it")
    equal(await store.ask(get, "HEAD"), (200, b""), "its head")
    domain = store.server.domain
    listed = await store.server.admin("upload", "list", domain)
    number = re.search(r"\b[0-9a-f]{32}\b", listed)
    expect(number, f"the list: {listed}")
    await store.server.admin("upload", "delete", domain, "--file", number[0], "--yes")
    equal(store.objects(), 0, "files in the object store when it was deleted")
    equal((await store.ask(get))[0], 404, "the status of the download then")


@check("s3rver", "an object store that is away, or refuses, is told as an error; nothing is left and it goes on later", apart=True, limit=90)
async def away(case):
    store = await Store.start(case)
    put, get = await store.slot(case)
    await store.program.close()
    equal(await store.put(put), 500, "the status of the upload without an object store")
    equal(store.local(), 0, "files beside the server")
    await store.run(case)
    equal(await store.put(put), 201, "the status of the upload when it is there again")
    equal(await store.ask(get), (200, FILE), "the download")


@check("s3rver", "with a wrong key nothing is stored, and the log says what the object store said", apart=True, limit=90)
async def refused(case):
    store = await Store.start(case, secret="wrong")
    put, get = await store.slot(case)
    equal(await store.put(put), 500, "the status of the upload")
    equal((await store.ask(get))[0], 404, "the status of the download")
    equal(store.objects(), 0, "files in the object store")
    expect("SignatureDoesNotMatch" in store.server.log.read_text(), "the log does not say why")
