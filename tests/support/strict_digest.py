"""How the strict phone asks for a password (RFC 3261 22, RFC 7616, RFC 8760), and how it looks at what it is told.

Written from the RFCs with nothing but hashlib. A wrong password is an answer; a malformed one raises `Wrong`.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass, field

from tests.support.strict_sip import Message, Notify, must

HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
# RFC 3261 25.1: dig-resp = name EQUAL (quoted-string / token)
PART = re.compile(r'\s*([a-z]+)=("(?:[^"\\]|\\.)*"|[^\s",]+)\s*(?:,|$)')
QUOTED = {"username", "realm", "nonce", "uri", "response", "cnonce", "opaque"}  # RFC 7616 3.4: these, and no others


def quoted(text: str) -> str:
    """A quoted-string with this meaning (RFC 3261 25.1)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@dataclass
class Lock:
    """An account's password, and the manner in which it is asked for."""

    username: str = "1001"
    password: str = field(default="pw", repr=False)
    status: int = 401
    algorithms: tuple[str, ...] = ("MD5",)
    """In the order of preference; an empty one is not named, which means MD5."""
    qop: str = "auth"
    realm: str = "10.0.0.1"
    opaque: str = 'o"p\\q'
    asked: dict[str, str] = field(default_factory=dict)  # nonce -> its algorithm

    def challenge(self, stale: bool = False) -> list[str]:
        """The header lines of a new challenge; each has a nonce of its own."""
        name = "Proxy-Authenticate" if self.status == 407 else "WWW-Authenticate"
        return [f"{name}: {self._one(algorithm, stale)}" for algorithm in self.algorithms]

    def _one(self, algorithm: str, stale: bool) -> str:
        nonce = secrets.token_hex(16)
        self.asked[nonce] = algorithm
        parts = [f"realm={quoted(self.realm)}", f"nonce={quoted(nonce)}", f"opaque={quoted(self.opaque)}"]
        parts += [f"algorithm={algorithm}"] if algorithm else []
        parts += [f'qop="{self.qop}"'] if self.qop else []
        parts += ["stale=TRUE"] if stale else []
        return "Digest " + ", ".join(parts)

    def opened_by(self, notify: Notify) -> bool:
        """Does this NOTIFY know the password? It must answer the first challenge of the last answer we gave."""
        said = self._read(notify.message)
        newest = list(self.asked)[-len(self.algorithms) :]
        must(said["nonce"] == newest[0], "not the nonce that was asked for first (RFC 8760 2.4)")
        algorithm = self.asked[said["nonce"]]
        must(said.get("algorithm", "") == algorithm, f"algorithm: {said.get('algorithm')}")
        must(said["realm"] == self.realm, f"realm: {said['realm']}")
        must(said["opaque"] == self.opaque, f"opaque: {said['opaque']}")
        must(said["uri"] == notify.message.uri, f"uri is {said['uri']} and the Request-URI {notify.message.uri}")
        return said["username"] == self.username and said["response"] == self._response(said, algorithm or "MD5")

    def _read(self, message: Message) -> dict[str, str]:
        right, wrong = "authorization", "proxy-authorization"
        if self.status == 407:
            right, wrong = wrong, right
        must(not message.all(wrong), f"a {self.status} is not answered by {wrong}")
        scheme, _, rest = message.one(right).partition(" ")
        must(scheme == "Digest", f"scheme: {scheme}")
        said: dict[str, str] = {}
        while rest:
            part = PART.match(rest)
            must(part, f"cannot be read from here on: {rest!r}")
            name, value = part[1], part[2]
            must(name not in said, f"{name} stands twice")
            must((name in QUOTED) == value.startswith('"'), f"{name}={value}: quotes")
            said[name] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
            rest = rest[part.end() :]
        return said

    def _response(self, said: dict[str, str], algorithm: str) -> str:
        """RFC 7616 3.4.1; RFC 2617 3.2.2.1 where no qop was offered."""

        def digest(*parts: str) -> str:
            return HASHES[algorithm](":".join(parts).encode()).hexdigest()

        secret = digest(self.username, self.realm, self.password)
        asked = digest("NOTIFY", said["uri"])
        if not self.qop:
            must({"qop", "nc", "cnonce"}.isdisjoint(said), "qop, nc or cnonce without having been offered one")
            return digest(secret, said["nonce"], asked)
        must(said.get("qop") == "auth", f"qop: {said.get('qop')}")
        must(said.get("nc") == "00000001", f"nc of a new nonce: {said.get('nc')}")
        must(said.get("cnonce"), "no cnonce")
        return digest(secret, said["nonce"], said["nc"], said["cnonce"], "auth", asked)


def must_go_on(before: Notify, after: Notify) -> None:
    """The second try is the same request in the same call: RFC 3261 22.2 and 8.1.3.5."""
    first, second = before.message, after.message
    must(second.branch != first.branch, "the branch is not new")
    must(second.cseq == first.cseq + 1, f"CSeq went from {first.cseq} to {second.cseq}")
    must(second.from_tag == first.from_tag, "the From tag was changed")
    for name in ("call-id", "from", "to", "event", "contact"):
        must(second.one(name) == first.one(name), f"{name} was changed")
    must((second.uri, second.body) == (first.uri, first.body), "the Request-URI or the body was changed")
