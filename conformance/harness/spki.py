"""What names the server's key to Chromium."""

import base64
import hashlib
import subprocess


def key_hash(server):
    convert = ["openssl", "pkey", "-in", server.work / "server.key", "-pubout", "-outform", "DER"]
    key = subprocess.run(convert, check=True, capture_output=True).stdout
    return base64.b64encode(hashlib.sha256(key).digest()).decode()
