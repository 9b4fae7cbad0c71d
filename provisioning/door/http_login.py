"""HTTP logins, the server's side: what an Authorization says, whether it is right, and which nonces are ours.

Pure: must never import Django, asyncio or socket; `now` is a monotonic number of seconds. Obeys RFC 7616 (Digest with
MD5 and qop=auth, which is what these phones are known to be asked for: formats.md d23) and RFC 7617 (Basic). An
Authorization is a stranger's text: whatever it is, nothing here raises, and nothing of it is kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

REALM = "gspnp"
NONCE_BYTES = 16
NONCE_SECONDS = 120.0  # a phone answers at once; what was recorded is worth nothing soon. Our choice.
MAX_NONCES = 20_000
MAX_NONCES_PER_SOURCE = 2_000  # a site of 1,000 phones behind one address starts, and each may need a second one
MAX_HEADER_CHARS = 2_048  # a phone's has some 300
MAX_FAILURES = 10
FAILURES_SECONDS = 600.0
MAX_SOURCES = 10_000  # whose wrong logins are counted at a time

# RFC 7235 2.1: auth-param = token BWS "=" BWS ( token / quoted-string ); possessive, so that it is linear.
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_PARAM = re.compile(
    rf'[ \t]*+({_TOKEN}++)[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.)*+)"|({_TOKEN}++))[ \t]*+(?:,|$)', re.DOTALL
)
_COUNT = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)  # RFC 7616 3.4: nc-value = 8LHEX
_PLACE = re.compile(r"(?i)https?://[^/?#]*+")


class Scheme(StrEnum):
    """How a phone logs in."""

    BASIC = "basic"
    DIGEST = "digest"


class Verdict(StrEnum):
    """What an Authorization is worth. STALE: the login is right and its nonce is not, or not any more, one of ours.
    REPEATED: the same login a second time. NONE: there is none, or one of another scheme."""

    RIGHT = "right"
    NONE = "none"
    WRONG = "wrong"
    STALE = "stale"
    REPEATED = "repeated"


@dataclass(frozen=True)
class Login:
    """What a phone has to show."""

    scheme: Scheme
    user: str
    password: str = field(repr=False)


class Nonces:
    """The nonces that this process has given out: each of them lives for a while, and counts upwards."""

    def __init__(self, most: int = MAX_NONCES, most_per_source: int = MAX_NONCES_PER_SOURCE) -> None:
        self._most, self._most_per_source = most, most_per_source
        self._given: OrderedDict[str, tuple[str, float, int]] = OrderedDict()  # nonce -> source, given at, last count
        self._by_source: dict[str, OrderedDict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._given)

    def fresh(self, source: str, now: float) -> str:
        """A new one for this source. What is too old goes, and the oldest where there are too many."""
        while self._given and not self._lives(next(iter(self._given.values()))[1], now):
            self._forget(next(iter(self._given)))
        mine = self._by_source.get(source, OrderedDict())
        if len(mine) >= self._most_per_source:
            self._forget(next(iter(mine)))
        elif len(self._given) >= self._most:
            self._forget(next(iter(self._given)))
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        self._given[nonce] = (source, now, 0)
        self._by_source.setdefault(source, OrderedDict())[nonce] = None
        return nonce

    def use(self, nonce: str, count: int, now: float) -> Verdict:
        """Spend a count of it; STALE if it is none of ours any more, REPEATED if the count does not go up."""
        known = self._given.get(nonce)
        if known is None or not self._lives(known[1], now):
            return Verdict.STALE
        if count <= known[2]:
            return Verdict.REPEATED
        self._given[nonce] = (known[0], known[1], count)
        return Verdict.RIGHT

    @staticmethod
    def _lives(given_at: float, now: float) -> bool:
        return 0.0 <= now - given_at <= NONCE_SECONDS

    def _forget(self, nonce: str) -> None:
        source = self._given.pop(nonce)[0]
        mine = self._by_source[source]
        del mine[nonce]
        if not mine:
            del self._by_source[source]


class Failures:
    """Who has shown a wrong login too often lately. A key is whatever it is counted for."""

    def __init__(self) -> None:
        self._counts: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def add(self, key: tuple[str, str], now: float) -> int:
        """One more; how many since the first of them."""
        count, since = self._of(key, now)
        self._counts[key] = (count + 1, since)
        if len(self._counts) > MAX_SOURCES:
            self._counts.popitem(last=False)
        return count + 1

    def too_many(self, key: tuple[str, str], now: float) -> bool:
        """Whether this one is not to be looked at for now."""
        return self._of(key, now)[0] >= MAX_FAILURES

    def forgive(self, key: tuple[str, str]) -> None:
        """The right login was shown."""
        self._counts.pop(key, None)

    def _of(self, key: tuple[str, str], now: float) -> tuple[int, float]:
        count, since = self._counts.get(key, (0, now))
        return (count, since) if 0.0 <= now - since <= FAILURES_SECONDS else (0, now)


def challenge(scheme: Scheme, nonce: str = "", *, stale: bool = False) -> str:
    """The value of WWW-Authenticate (RFC 7616 3.3, RFC 7617 2)."""
    if scheme is Scheme.BASIC:
        return f'Basic realm="{REALM}"'
    return f'Digest realm="{REALM}", nonce="{nonce}", algorithm=MD5, qop="auth"' + (", stale=true" if stale else "")


def check(authorization: str, login: Login, method: str, target: str, nonces: Nonces, now: float) -> Verdict:
    """What this Authorization is worth for a request. `target` is as it came in the request's line."""
    scheme, _, rest = authorization.strip(" \t").partition(" ")
    if scheme.lower() != login.scheme:
        return Verdict.NONE
    if len(rest) > MAX_HEADER_CHARS:
        return Verdict.WRONG
    if login.scheme is Scheme.BASIC:
        return Verdict.RIGHT if _basic_is_right(rest.strip(" \t"), login) else Verdict.WRONG
    said = read_params(rest)
    if said is None or not _digest_is_right(said, login, method, target):
        return Verdict.WRONG
    return nonces.use(said["nonce"], int(said["nc"], 16), now)


def read_params(text: str) -> Mapping[str, str] | None:
    """The parameters of a Digest Authorization, names in lower case; None if it is none, or has one twice."""
    found: dict[str, str] = {}
    position = 0
    text = text.strip(" \t")
    while position < len(text):
        param = _PARAM.match(text, position)
        if param is None or param[1].lower() in found:
            return None
        quoted = param[2]
        found[param[1].lower()] = param[3] if quoted is None else re.sub(r"(?s)\\(.)", r"\1", quoted)
        position = param.end()
    return found


def response_of(login: Login, said: Mapping[str, str], method: str) -> str:
    """The response that the right password makes of these parameters: RFC 7616 3.4.1, MD5 and qop=auth."""
    secret = _md5(login.user, said["realm"], login.password)
    asked = _md5(method, said["uri"])
    return _md5(secret, said["nonce"], said["nc"], said["cnonce"], said["qop"], asked)


def _digest_is_right(said: Mapping[str, str], login: Login, method: str, target: str) -> bool:
    """Everything but the nonce, which is looked at only if the password is right: only then it is told what it was."""
    wanted = ("username", "realm", "nonce", "uri", "response", "qop", "nc", "cnonce")
    if any(not said.get(name) for name in wanted):
        return False
    if said["qop"].lower() != "auth" or said.get("algorithm", "MD5").upper() != "MD5" or said["realm"] != REALM:
        return False
    if not _COUNT.fullmatch(said["nc"]) or _local(said["uri"]) != _local(target):
        return False
    # Both are compared whatever the first says: the time tells nothing.
    user_is_right = _same(said["username"], login.user)
    return _same(said["response"].lower(), response_of(login, said, method)) and user_is_right


def _local(target: str) -> str:
    """A target without scheme and host, which a proxy may have added (RFC 9112 3.2.2)."""
    place = _PLACE.match(target)
    return target if place is None else target[place.end() :] or "/"


def _basic_is_right(text: str, login: Login) -> bool:
    try:
        shown = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        return False
    return hmac.compare_digest(shown, _bytes(f"{login.user}:{login.password}"))


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(_bytes(one), _bytes(other))


def _md5(*parts: str) -> str:
    """H() of RFC 7616 3.3; MD5 is what phones know, and protects no more than it can."""
    return hashlib.md5(_bytes(":".join(parts)), usedforsecurity=False).hexdigest()


def _bytes(text: str) -> bytes:
    """As it came on the wire, where a header has one character for each byte; what cannot have come so is no login."""
    return text.encode("latin-1", "replace")
