"""Asks a StreamSync router a query, signed with an API key. Python's own library is all it needs.

    python sign.py http://127.0.0.1:8080 key.json "SELECT 41 + 1 AS n"
"""

import base64
import hashlib
import hmac
import json
import secrets
import sys
import time
import urllib.request
from urllib.parse import urlsplit


def signed(key: dict, method: str, url: str, body: bytes) -> dict:
    """The headers that sign a request (RFC 9421, hmac-sha256, over a digest by RFC 9530)."""
    parts = urlsplit(url)
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    lines = [
        ("@method", method),
        ("@authority", parts.netloc.lower()),
        ("@path", parts.path),
    ]
    headers = {}
    if parts.query:
        lines.append(("@query", "?" + parts.query))
    if body:
        headers["Content-Digest"] = f"sha-256=:{digest}:"
        lines.append(("content-digest", headers["Content-Digest"]))
    names = " ".join(f'"{name}"' for name, _ in lines)
    params = (
        f'({names});created={int(time.time())};keyid="{key["key"]}"'
        f';nonce="{secrets.token_hex(16)}";alg="hmac-sha256"'
    )
    base = "".join(f'"{name}": {value}\n' for name, value in lines)
    base += f'"@signature-params": {params}'
    # The secret is base64 for URLs without padding.
    secret = base64.urlsafe_b64decode(key["secret"] + "=")
    made = base64.b64encode(hmac.digest(secret, base.encode(), "sha256")).decode()
    headers["Signature-Input"] = f"sig={params}"
    headers["Signature"] = f"sig=:{made}:"
    return headers


def main() -> None:
    router, key_file, sql = sys.argv[1:]
    with open(key_file, encoding="utf-8") as file:
        key = json.load(file)
    url = router.rstrip("/") + "/v1/query"
    body = json.dumps({"sql": sql}).encode()
    headers = {"Content-Type": "application/json", **signed(key, "POST", url, body)}
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    with urllib.request.urlopen(request) as answer:
        print(json.dumps(json.load(answer)["rows"]))


if __name__ == "__main__":
    main()
