"""The phone's digest: which NOTIFYs it asks a password for, its challenges, and its look at a login.

It must never import asyncio or socket. Sources: formats.md g6 (commands are challenged with the SIP account, P4428
switches that off), RFC 3261 22, RFC 7616 3.4, RFC 2617 3.2.2 (without qop).
"""

import hashlib
import random
import re
from dataclasses import dataclass, field

from sipmcast.simulator.faults import Faults
from sipmcast.simulator.messages import Message, MessageError
from sipmcast.simulator.result import Result

MAX_NONCES = 64
HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
# RFC 3261 25.1: dig-resp = name EQUAL (quoted-string / token); the quoted group is without its quotes
PART = re.compile(r'[ \t]*([A-Za-z]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))[ \t]*(?:,|$)')


@dataclass(frozen=True)
class Account:
    """The SIP account of the file that the phone has applied."""

    user_id: str
    username: str  # the authentication id
    password: str = field(repr=False)
    realm: str
    guards_commands: bool = True  # P4428 is not 1


def read_login(value: str) -> dict[str, str]:
    """The parameters of a Digest Authorization, or MessageError."""
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "digest":
        raise MessageError(f"its scheme is {scheme[:20]!r}")
    found: dict[str, str] = {}
    while rest.strip():
        part = PART.match(rest)
        if part is None or part[1].lower() in found:
            raise MessageError("its parameters cannot be read")
        found[part[1].lower()] = part[3] if part[2] is None else re.sub(r"\\(.)", r"\1", part[2])
        rest = rest[part.end() :]
    missing = {"username", "realm", "nonce", "uri", "response"} - found.keys()
    if missing:
        raise MessageError(f"it has no {min(missing)}")
    return found


class Gate:
    """Asks for the password of a NOTIFY where this phone does, and lets it pass once the right one is shown."""

    def __init__(self, faults: Faults, dice: random.Random, result: Result):
        self._faults = faults
        self._dice = dice
        self._result = result
        self._algorithm = "SHA-256" if faults.has("sha256") else "MD5"
        self._proxy = faults.has("407")
        self._qop = not faults.has("no-qop")
        self._nonces: dict[str, tuple[str, str, int]] = {}  # nonce -> Call-ID, From, CSeq of what was challenged

    def asks(self, request: Message, is_command: bool, account: Account | None) -> tuple[int, str] | None:
        """Status and header line of the challenge to this NOTIFY; None if it may pass."""
        if self._faults.has("other-password"):
            account = Account("", "another-system", str(self._dice.random()), "another-system")
        elif account is None or not (account.guards_commands if is_command else self._faults.has("challenge")):
            return None
        stale = False
        logins = request.all("proxy-authorization" if self._proxy else "authorization")
        if logins:
            trouble = self._trouble_with(logins, request, account)
            if not trouble and not self._faults.armed("stale"):
                return None
            if trouble:
                self._result.note(f"a login was refused: {trouble}")
            else:
                self._faults.used("stale")
                stale = True
        self._result.challenges += 1
        return 407 if self._proxy else 401, self._challenge(request, account, stale)

    def _challenge(self, request: Message, account: Account, stale: bool) -> str:
        nonce = f"{self._dice.getrandbits(128):032x}"
        if len(self._nonces) >= MAX_NONCES:
            del self._nonces[next(iter(self._nonces))]
        self._nonces[nonce] = (request.first("call-id"), request.first("from"), _cseq(request))
        name = "Proxy-Authenticate" if self._proxy else "WWW-Authenticate"
        parts = [f'realm="{account.realm}"', f'nonce="{nonce}"', f"algorithm={self._algorithm}"]
        parts += ['qop="auth"'] if self._qop else []
        parts += ["stale=true"] if stale else []
        return f"{name}: Digest {', '.join(parts)}"

    def _trouble_with(self, logins: list[str], request: Message, account: Account) -> str:
        """Why this login is not the right one, in words; empty if it is. Nothing of the login itself is named."""
        try:
            if len(logins) > 1:
                raise MessageError("there are two of them")
            said = read_login(logins[0])
            self._check_place(said, request)
            self._check_manner(said)
        except MessageError as error:
            return str(error)
        if (said["username"], said["realm"]) != (account.username, account.realm):
            return "it is another account's"
        return "" if said["response"] == self._response(said, request, account) else "the password is wrong"

    def _check_place(self, said: dict[str, str], request: Message) -> None:
        """It answers a nonce of ours, for this very request: RFC 3261 22.2 and 8.1.3.5."""
        known = self._nonces.get(said["nonce"])
        if known is None:
            raise MessageError("its nonce is not ours")
        call_id, sender, cseq = known
        if (call_id, sender) != (request.first("call-id"), request.first("from")):
            raise MessageError("its nonce was given to another call")
        if _cseq(request) <= cseq:
            raise MessageError("CSeq was not raised")
        if said["uri"] != request.uri:
            raise MessageError("its uri is not the Request-URI")

    def _check_manner(self, said: dict[str, str]) -> None:
        """The algorithm and qop of our challenge (RFC 7616 3.4)."""
        if said.get("algorithm", "MD5").upper() != self._algorithm:
            raise MessageError("its algorithm is not the one asked for")
        if self._qop and (said.get("qop"), said.get("nc")) != ("auth", "00000001"):
            raise MessageError("its qop is not auth, or its nc not that of a new nonce")
        if self._qop and not said.get("cnonce"):
            raise MessageError("it has no cnonce")
        if not self._qop and "qop" in said:
            raise MessageError("it has a qop that was not offered")

    def _response(self, said: dict[str, str], request: Message, account: Account) -> str:
        def digest(*parts: str) -> str:
            return HASHES[self._algorithm](":".join(parts).encode()).hexdigest()

        secret = digest(account.username, account.realm, account.password)
        asked = digest(request.method, said["uri"])
        if self._qop:
            return digest(secret, said["nonce"], said["nc"], said["cnonce"], "auth", asked)
        return digest(secret, said["nonce"], asked)


def _cseq(request: Message) -> int:
    number = request.first("cseq").split(" ")[0]
    return int(number) if re.fullmatch(r"[0-9]{1,10}", number) else 0
