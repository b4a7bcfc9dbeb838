"""Files that slixmpp uploads (XEP-0363), and what whoever has the address gets."""

import asyncio
import os
import ssl
import urllib.request

from check import check, equal
from xmpp import PATIENCE, login

FILE = os.urandom(300_000)


@check("slixmpp", "a file goes up to the slot that slixmpp asks for, and comes down again")
async def upload(case):
    account = await case.account("romeo")
    client = await login(case, account, "files", plugins=["xep_0363"])
    service = await client["xep_0363"].find_upload_service(timeout=3)
    equal(str(service.get_from()), f"upload.{case.server.domain}", "the service found")
    slot = await client["xep_0363"].request_slot(
        service.get_from(), "balcony.png", len(FILE), "image/png", timeout=PATIENCE
    )
    put, get = slot["http_upload_slot"]["put"], slot["http_upload_slot"]["get"]
    headers = {header["name"]: header["value"] for header in put["headers"]}
    trust = ssl.create_default_context(cafile=case.server.ca)

    def ask(url, **what):
        request = urllib.request.Request(url, **what)
        with urllib.request.urlopen(request, context=trust, timeout=PATIENCE) as answer:
            return answer.status, answer.headers, answer.read()

    headers["Content-Type"] = "image/png"
    status, _, _ = await asyncio.to_thread(ask, put["url"], data=FILE, headers=headers, method="PUT")
    equal(status, 201, "the status of the upload")
    status, headers, body = await asyncio.to_thread(ask, get["url"])
    equal((status, headers["Content-Type"], body == FILE), (200, "image/png", True), "the download")
