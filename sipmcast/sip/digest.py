"""Digest authentication, the client's side: challenges are read, a login answers one of them.

Pure. Obeys RFC 3261 22, RFC 7616, RFC 8760 (SHA-256 and the order of challenges) and RFC 2617 (a challenge
without qop). A challenge is a stranger's text: whatever is malformed, too long or unknown is left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sipmcast.sip.errors import SipSerialiseError
from sipmcast.sip.grammar import QUOTED_RULE, TOKEN_CLASS, UNSAFE, unquote
from sipmcast.sip.headers import Header
from sipmcast.sip.message import Response

# Phones send some 40 characters; what is echoed must stay small. Our choice.
MAX_CHALLENGE_VALUE_CHARS = 1_024
# RFC 8760 2.4 expects one for each algorithm. Our choice.
MAX_CHALLENGES = 16
# RFC 7616 3.4: nc-value = 8LHEX
MAX_NONCE_COUNT = 0xFFFF_FFFF

# RFC 7616 3.2, in upper case; SHA-512-256 is not asked for by any phone that we know.
_HASHES = {"MD5": "md5", "MD5-SESS": "md5", "SHA-256": "sha256", "SHA-256-SESS": "sha256"}

# RFC 7616 3.3: an algorithm that is not named is MD5.
_DEFAULT_ALGORITHM = "MD5"

_PARAM_RULE = rf"({TOKEN_CLASS}++)[ \t]*+=[ \t]*+({QUOTED_RULE}|[^\x00-\x20\x7f,\"]++)[ \t]*+(?:,[ ,\t]*+|$)"
_PARAM = re.compile(_PARAM_RULE, re.DOTALL)
# RFC 3261 25.1: challenge = ("Digest" LWS digest-cln *(COMMA digest-cln)) / other-challenge
_SCHEME = re.compile(rf"({TOKEN_CLASS}++)[ \t]++(?={TOKEN_CLASS}++[ \t]*+=)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a WWW-Authenticate or Proxy-Authenticate asks for (RFC 7616 3.3), as held text without quotes."""

    realm: str
    nonce: str
    opaque: str | None = None
    """Goes back as it came."""
    algorithm: str | None = None
    """As written; None is MD5."""
    qop: tuple[str, ...] = ()
    """In lower case; empty for a server from before RFC 2617."""
    stale: bool = False
    """The login was right and the nonce too old: answer again without asking anybody."""
    proxy: bool = False
    """Proxy-Authenticate (407) and not WWW-Authenticate (401)."""


@dataclass(frozen=True, slots=True)
class Login:
    """A SIP account's user and password; both are hashed as UTF-8 (RFC 7616 4)."""

    username: str
    password: str = field(repr=False)


def read_challenges(response: Response) -> tuple[Challenge, ...]:
    """The Digest challenges of a response that have an algorithm we know, in their order; never raises."""
    found: list[Challenge] = []
    for name, proxy in (("www-authenticate", False), ("proxy-authenticate", True)):
        for value in response.values(name):
            for scheme, params in _challenges(value):
                challenge = _digest_challenge(params, proxy) if scheme.lower() == "digest" else None
                if challenge is not None and len(found) < MAX_CHALLENGES:
                    found.append(challenge)
    return tuple(found)


def choose(challenges: tuple[Challenge, ...]) -> Challenge | None:
    """The first challenge that we can answer: the server's order is its preference (RFC 8760 2.4)."""
    return next((challenge for challenge in challenges if _hash_name(challenge) and _qop(challenge) is not None), None)


def authorization(
    challenge: Challenge, login: Login, method: str, uri: str, body: bytes, cnonce: str, nonce_count: int = 1
) -> Header:
    """The header that answers this challenge for one request.

    `uri` is the Request-URI as sent; `cnonce` is new for each challenge; `nonce_count` counts the requests with this
    nonce. Raises SipSerialiseError for a line break, a NUL or a character beyond latin-1 in any part (a login is
    UTF-8 in held text), and for a challenge that `choose` would not have returned.
    """
    qop = _qop(challenge)
    if _hash_name(challenge) is None or qop is None:
        raise SipSerialiseError("challenge with an unknown algorithm or qop")
    if not 1 <= nonce_count <= MAX_NONCE_COUNT:
        raise SipSerialiseError("nonce count out of range")
    count = f"{nonce_count:08x}"
    parts = [
        ("username", _quoted(_held(login.username))),
        ("realm", _quoted(challenge.realm)),
        ("nonce", _quoted(challenge.nonce)),
        ("uri", _quoted(uri)),
        ("response", _quoted(_response(challenge, login, method, uri, body, cnonce, count, qop))),
    ]
    if challenge.algorithm is not None:
        parts.append(("algorithm", challenge.algorithm))
    if qop or _is_session(challenge):
        parts.append(("cnonce", _quoted(cnonce)))
    if challenge.opaque is not None:
        parts.append(("opaque", _quoted(challenge.opaque)))
    if qop:
        parts += [("qop", qop), ("nc", count)]
    value = "Digest " + ", ".join(f"{name}={text}" for name, text in parts)
    if UNSAFE.search(value) or UNSAFE.search(method):
        raise SipSerialiseError("line break or NUL in a login, a challenge or a request")
    _bytes(value)
    return Header("Proxy-Authorization" if challenge.proxy else "Authorization", value)


def _challenges(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Scheme and parameters of each challenge in one header value; nothing from the first malformed one on.

    Source: RFC 7616 3.7 allows several in one header, RFC 3261 7.3.1 does not; both occur.
    """
    position = 0
    while (scheme := _SCHEME.match(value, position)) is not None:
        params: dict[str, str] = {}
        position = scheme.end()
        while (param := _PARAM.match(value, position)) is not None:
            name = param[1].lower()
            if name in params:
                return
            params[name] = unquote(param[2])
            position = param.end()
        if position < len(value) and _SCHEME.match(value, position) is None:
            return
        yield scheme[1], params


def _digest_challenge(params: dict[str, str], proxy: bool) -> Challenge | None:
    """The challenge that these parameters make, or None if a needed one is missing or any is too long."""
    if "realm" not in params or "nonce" not in params:
        return None
    if any(len(text) > MAX_CHALLENGE_VALUE_CHARS or UNSAFE.search(text) for text in params.values()):
        return None
    challenge = Challenge(
        realm=params["realm"],
        nonce=params["nonce"],
        opaque=params.get("opaque"),
        algorithm=params.get("algorithm"),
        qop=tuple(word.strip(" \t").lower() for word in params.get("qop", "").split(",") if word.strip(" \t")),
        stale=params.get("stale", "").lower() == "true",
        proxy=proxy,
    )
    return challenge if _hash_name(challenge) else None


def _hash_name(challenge: Challenge) -> str | None:
    """hashlib's name of the challenge's algorithm; None for one that we do not know."""
    algorithm = challenge.algorithm or _DEFAULT_ALGORITHM
    return _HASHES.get(algorithm.upper()) if algorithm.isascii() else None


def _is_session(challenge: Challenge) -> bool:
    """Does the algorithm put both nonces into A1 (RFC 7616 3.4.2)?"""
    return (challenge.algorithm or "").upper().endswith("-SESS")


def _qop(challenge: Challenge) -> str | None:
    """What we answer with: auth if offered, else auth-int; empty without any qop, None if only unknown ones."""
    if not challenge.qop:
        return ""
    return next((word for word in ("auth", "auth-int") if word in challenge.qop), None)


def _response(
    challenge: Challenge, login: Login, method: str, uri: str, body: bytes, cnonce: str, count: str, qop: str
) -> str:
    """request-digest (RFC 7616 3.4.1 to 3.4.3; RFC 2617 3.2.2.1 without qop)."""
    name = _hash_name(challenge) or ""

    def digest(*parts: str) -> str:
        return _hexdigest(name, _bytes(":".join(parts)))

    secret = digest(_held(login.username), challenge.realm, _held(login.password))
    if _is_session(challenge):
        secret = digest(secret, challenge.nonce, cnonce)
    asked = digest(method, uri, _hexdigest(name, body)) if qop == "auth-int" else digest(method, uri)
    if qop:
        return digest(secret, challenge.nonce, count, cnonce, qop, asked)
    return digest(secret, challenge.nonce, asked)


def _hexdigest(name: str, data: bytes) -> str:
    """H() of RFC 7616 3.3. MD5 is what phones ask for; it protects no more than it can."""
    return hashlib.new(name, data, usedforsecurity=False).hexdigest()


def _held(text: str) -> str:
    """A person's text as held text: one character for each of its UTF-8 bytes."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1")


def _bytes(held: str) -> bytes:
    """The bytes that held text stands for."""
    try:
        return held.encode("latin-1")
    except UnicodeEncodeError:
        raise SipSerialiseError("character beyond latin-1") from None


def _quoted(text: str) -> str:
    """A quoted-string with this meaning (RFC 3261 25.1)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
