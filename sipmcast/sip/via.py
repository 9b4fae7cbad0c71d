"""Via: where a message came by, and what a receiver writes into it. Pure. Obeys RFC 3261 18.2 and 20.42, RFC 3581."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sipmcast.sip.errors import SipParseError
from sipmcast.sip.grammar import BLANKS, HOST_RULE, TOKEN_CLASS
from sipmcast.sip.headers import PARAM, Params, param, parse_params
from sipmcast.sip.uri import Endpoint, read_host, read_port, same_host

# RFC 3261 25.1: via-parm = sent-protocol LWS sent-by *( SEMI via-params ), with blanks around SLASH and COLON.
_VIA = re.compile(
    rf"[ \t]*+SIP[ \t]*+/[ \t]*+2\.0[ \t]*+/[ \t]*+({TOKEN_CLASS}++)[ \t]++"
    rf"({HOST_RULE})(?:[ \t]*+:[ \t]*+([0-9]{{1,5}}))?+",
    re.IGNORECASE | re.ASCII,
)


@dataclass(slots=True)
class Via:
    """RFC 3261 20.42. `host` and `port` are sent-by: where the sender believes that it is."""

    text: str
    transport: str
    host: str
    port: int | None
    params: Params
    params_start: int
    """Where in `text` the parameters begin."""
    branch: str
    """The transaction's identifier, empty for an RFC 2543 sender."""

    @property
    def has_rport(self) -> bool:
        """Does the sender ask for the answer at the port it sent from (RFC 3581 3)?"""
        return "rport" in self.params

    def stamped(self, source: Endpoint) -> str:
        """This Via's text with `received` and `rport` as the receiver must fill them.

        Source: RFC 3261 18.2.1 (received when sent-by is not the source address), RFC 3581 4 (rport filled,
        and then received always). A value that the sender already wrote there is replaced, not believed.
        """
        text, params = self.text, self.params
        host = source[0].partition("%")[0]
        if "received" not in params:
            if "rport" not in params:
                same = same_host(self.host, host)
                return text if same else f"{text.rstrip(BLANKS)};received={host}"
            before, found, after = text.partition(";rport")
            # The usual case: a bare rport, which nothing else in the text can be taken for.
            if found and (not after or after[0] == ";") and '"' not in text:
                return f"{before};rport={source[1]}{after.rstrip(BLANKS)};received={host}"
        wanted = {"received": host}
        if "rport" in params:
            wanted["rport"] = str(source[1])
        return self._rewritten(wanted)

    def _rewritten(self, wanted: dict[str, str]) -> str:
        """The text with these parameters set where they stand, or else at its end."""
        text = self.text.rstrip(BLANKS)
        missing = "".join(f";{name}={value}" for name, value in wanted.items() if name not in self.params)
        for match in reversed(list(PARAM.finditer(text, self.params_start))):
            name = match[1].lower()
            if name in wanted:
                text = f"{text[: match.start(1)]}{name}={wanted[name]}{text[match.end() :]}"
        return text + missing


def parse_via(text: str) -> Via:
    """Read one Via value (RFC 3261 20.42, 25.1); blanks around slashes and the colon are legal."""
    match = _VIA.match(text)
    if match is None:
        raise SipParseError("bad_via", "malformed protocol or sent-by")
    transport, host, port = match.groups()
    start = match.end()
    params = parse_params(text, start, "bad_via")
    branch = param(params, "branch") or ""
    return Via(text, transport, read_host(host), read_port(port) if port else None, params, start, branch)
