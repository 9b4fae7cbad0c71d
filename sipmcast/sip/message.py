"""Whole SIP messages: bytes to Request or Response. What can be done with them stands in model.py and answer.py.

Pure. Obeys RFC 3261 sections 7, 8.2, 18.2 and 18.3. Tolerant where phones are (compact names, folding, bare LF,
blanks before a colon, bytes that are not UTF-8), strict where a guess would be dangerous (lengths, line breaks,
doubled identity headers). Cost is linear in the datagram's size.
"""

from __future__ import annotations

import re

from sipmcast.sip.answer import response_bytes, response_endpoint, response_to
from sipmcast.sip.errors import SipParseError
from sipmcast.sip.grammar import BLANKS, TOKEN, VERSION
from sipmcast.sip.headers import parse_content_length
from sipmcast.sip.lines import Head, read_head
from sipmcast.sip.model import Message, Request, Response, from_head, read_identity

__all__ = [
    "Message",
    "Request",
    "Response",
    "parse_message",
    "response_bytes",
    "response_endpoint",
    "response_to",
]

_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE | re.ASCII | re.DOTALL)


def parse_message(datagram: bytes) -> Request | Response:
    """Read one datagram; raise SipParseError, whose `status` and `request` say what could be answered.

    Looked at are, in a request, the start line, Via, From, To, Call-ID, CSeq and Content-Length (RFC 3261 8.1.1 and
    8.2.6.2 need them; Max-Forwards is left out: snom's SUBSCRIBE lacks it, and only a proxy would use it); in a
    response From and To only for being there. The body ends with the datagram unless Content-Length ends it
    sooner; bytes beyond it are dropped (18.3).
    """
    head = read_head(datagram)
    if head.start[:4].upper() == "SIP/":
        return _read_response(head)
    return _read_request(head)


def _read_request(head: Head) -> Request:
    """Check a request as RFC 3261 8.2 and 16.3 do; errors carry the request as far as it was read."""
    # A request line has three parts; any that has more is told why below.
    start = head.start.rstrip(BLANKS)
    method, _, tail = start.partition(" ")
    uri, _, version = tail.rpartition(" ")
    if not TOKEN.fullmatch(method) or not (version == "SIP/2.0" or VERSION.fullmatch(version)):
        raise SipParseError("not_sip", "the first line is neither request nor status", None)
    request = from_head(Request, head, method=method, uri=uri)
    try:
        if head.fault is not None:
            raise SipParseError("bad_header", head.fault)
        if version.upper() != "SIP/2.0":
            raise SipParseError("bad_version", version, 505)
        if len(start) != len(head.start):
            raise SipParseError("bad_start_line", "blanks at its end")
        read_identity(request, head, addresses=True)
        if request.cseq.method != method:
            raise SipParseError("bad_cseq", "its method is not the request's")
        if request.target.has_headers:
            raise SipParseError("bad_uri", "header fields in a Request-URI")
        _cut(request)
    except SipParseError as error:
        error.request = request
        raise
    return request


def _read_response(head: Head) -> Response:
    """Check a response; whatever is wrong with it, nobody is answered (RFC 3261 18.1.2, 18.3)."""
    match = _STATUS_LINE.fullmatch(head.start)
    if match is None:
        raise SipParseError("bad_status_line", "not SIP/2.0 and a status", None)
    response = from_head(Response, head, status=int(match[1]), reason=match[2] or "")
    try:
        if head.fault is not None:
            raise SipParseError("bad_header", head.fault)
        read_identity(response, head, addresses=False)
        _cut(response)
    except SipParseError as error:
        error.status = None
        raise
    return response


def _cut(message: Message) -> None:
    """Leave the body that Content-Length promises, and no more (RFC 3261 18.3, 20.14)."""
    size = parse_content_length(message.values("content-length"))
    if size is None:
        return
    if size > len(message.body):
        raise SipParseError("bad_content_length", "longer than the datagram")
    message.body = message.body[:size]
