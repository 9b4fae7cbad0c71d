"""The phone's answer to a 401 of a web server: Basic (RFC 7617) or Digest with MD5 (RFC 7616, RFC 2617).

It must never import asyncio or socket. Whether real firmware knows both is not published (formats.md d20, d23).
"""

import base64
import hashlib
import re

from sipmcast.simulator.digest import PART

CHALLENGE = re.compile(r"(basic|digest)[ \t]+(.*)", re.IGNORECASE | re.DOTALL)
COUNT = "00000001"  # each challenge is answered once


def is_stale(challenge: str) -> bool:
    """Whether the login was right and only its nonce was not: worth another try."""
    return _read(challenge)[1].get("stale", "").lower() == "true"


def authorization(challenge: str, user: str, password: str, method: str, target: str, cnonce: str) -> str:
    """The value of Authorization that answers this challenge; empty for one that the phone does not know."""
    scheme, said = _read(challenge)
    if scheme == "basic":
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
    realm, nonce = said.get("realm"), said.get("nonce")
    if scheme != "digest" or realm is None or not nonce or said.get("algorithm", "MD5").upper() != "MD5":
        return ""
    offered = [word.strip().lower() for word in said.get("qop", "").split(",") if word.strip()]
    if offered and "auth" not in offered:
        return ""
    secret, asked = _md5(user, realm, password), _md5(method, target)
    if not offered:
        response, manner = _md5(secret, nonce, asked), ""
    else:
        response = _md5(secret, nonce, COUNT, cnonce, "auth", asked)
        manner = f', qop=auth, nc={COUNT}, cnonce="{cnonce}"'
    opaque = f', opaque="{said["opaque"]}"' if "opaque" in said else ""
    parts = f'username="{user}", realm="{realm}", nonce="{nonce}", uri="{target}", response="{response}"'
    return f"Digest {parts}, algorithm=MD5{manner}{opaque}"


def _read(challenge: str) -> tuple[str, dict[str, str]]:
    """Scheme and parameters, both with names in lower case; nothing from what cannot be read on."""
    match = CHALLENGE.fullmatch(challenge.strip())
    if match is None:
        return "", {}
    found: dict[str, str] = {}
    rest = match[2]
    while (part := PART.match(rest)) is not None:
        found[part[1].lower()] = part[3] if part[2] is None else part[2]
        rest = rest[part.end() :]
    return match[1].lower(), found


def _md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()
