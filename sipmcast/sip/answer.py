"""Answers to requests: what is echoed, what is added, and where they go.

Pure. Obeys RFC 3261 8.2.6 and 18.2, and RFC 3581. Only what we add is checked: what came in one line goes out in
one line.
"""

from __future__ import annotations

from sipmcast.sip.errors import SipParseError
from sipmcast.sip.headers import Header, parse_name_addr, split_list
from sipmcast.sip.model import Request, Response, header_line, status_line, written
from sipmcast.sip.uri import DEFAULT_PORT, Endpoint

# RFC 3261 8.2.6.2, after Via.
_ECHOED = (("From: ", "from"), ("To: ", "to"), ("Call-ID: ", "call-id"), ("CSeq: ", "cseq"))


def response_to(
    request: Request,
    status: int,
    reason: str,
    *,
    source: Endpoint,
    to_tag: str,
    extra: tuple[Header, ...] = (),
) -> Response:
    """The bodiless response that echoes a request; raise SipParseError if that has no Via.

    Of a malformed request it echoes what is there (RFC 4475 3.3.1). Source: RFC 3261 8.2.6.2 (Via, From, To,
    Call-ID, CSeq as they came, a tag added to To), 18.2.1 and RFC 3581 4.
    """
    echoed = (line.partition(": ") for line in _echo(request, source, to_tag))
    headers = (*(Header(name, value) for name, _, value in echoed), *extra, Header("Content-Length", "0"))
    return Response(headers, b"", status, reason)


def response_bytes(
    request: Request,
    status: int,
    reason: str,
    *,
    source: Endpoint,
    to_tag: str,
    extra: tuple[Header, ...] = (),
) -> bytes:
    """The bytes of `response_to`, in a fraction of its time.

    Raises SipParseError as that does, and SipSerialiseError for an unsafe part that is ours.
    """
    echoed = _echo(request, source, to_tag)
    return written([status_line(status, reason), *echoed, *map(header_line, extra), "Content-Length: 0"])


def response_endpoint(request: Request, source: Endpoint) -> Endpoint:
    """Where the response goes: always the packet's source address, never a host that the request names.

    Source: RFC 3581 4 (source port if rport is there), else RFC 3261 18.2.2 (sent-by port, 5060 where none is
    written). If the Via cannot be read, the source port is all that is known.
    """
    try:
        via = request.via
    except SipParseError:
        return source
    return source if via.has_rport else (source[0], via.port or DEFAULT_PORT)


def identity(request: Request) -> tuple[str, str, str]:
    """Call-ID, From tag and branch, as far as they can be read; never raises.

    They name the request before our answer has a To tag, even where the request is malformed.
    """
    try:
        from_tag = request.from_.tag or ""
    except SipParseError:
        from_tag = request.first("from") or ""
    try:
        branch = request.via.branch
    except SipParseError:
        branch = request.first("via") or ""
    return request.first("call-id") or "", from_tag, branch


def _echo(request: Request, source: Endpoint, to_tag: str) -> list[str]:
    """The header lines that a response repeats, in the usual order; of a doubled header the first."""
    first, *others = request.values("via") or [""]
    if not first:
        raise SipParseError("missing_header", "via")
    lines = [f"Via: {_stamped(request, first, source)}"]
    # Combined values stay combined: a header for each comma would make the answer larger than the question.
    lines += [f"Via: {value}" for value in others]
    for prefix, key in _ECHOED:
        value = request.first(key)
        if value is not None:
            lines.append(prefix + (_tagged(request, value, to_tag) if key == "to" else value))
    return lines


def _stamped(request: Request, text: str, source: Endpoint) -> str:
    """The first Via header with its top value stamped; one that cannot be read goes back as it came."""
    try:
        stamped = request.via.stamped(source)
        return ",".join([stamped, *split_list(text)[1:]]) if "," in text else stamped
    except SipParseError:
        return text


def _tagged(request: Request, text: str, to_tag: str) -> str:
    """To with our tag if it has none; one that cannot be read goes back as it came, in an error response."""
    try:
        has_tag = (request.to if len(request.values("to")) == 1 else parse_name_addr(text, "bad_to")).tag is not None
    except SipParseError:
        return text
    return text if has_tag else f"{text};tag={to_tag}"
