"""Is what the server sent correct? The strict rules for the answer to SUBSCRIBE and for its requests.

A real phone tolerates more; a defect that it would swallow is still the server's defect, and here it has a
name. It must never import asyncio or socket. Sources: vendor guide, RFC 3261 8.1.1, 8.2.6 and 18.3, RFC
3581 4, RFC 6665 4.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from sipmcast.simulator.messages import Message, MessageError, Subscribe, parse_address, parse_via, split_parameters

MAGIC_COOKIE = "z9hG4bK"
# formats.md g1 to g3; the older sys-control is taken for check-sync (our choice).
COMMANDS = {"check-sync": "check-sync", "resync": "resync", "sys-control": "check-sync"}


class Violation(ValueError):
    """The server broke a rule; the text says which one, in words for the test's report."""


def check_answer(sent: Subscribe, answer: Message) -> str:
    """Hold an answer against the SUBSCRIBE it must belong to and return its To tag, or raise Violation."""
    try:
        _check_via_echo(sent, answer)
        if answer.only("from") != sent.from_value:
            raise Violation(f"From was changed: {answer.only('from')!r}")
        if answer.only("call-id") != sent.call_id:
            raise Violation(f"Call-ID is not ours: {answer.only('call-id')!r}")
        if answer.only("cseq") != f"{sent.cseq} SUBSCRIBE":
            raise Violation(f"CSeq was changed: {answer.only('cseq')!r}")
        uri, parameters = parse_address(answer.only("to"))
        if uri != sent.aor:
            raise Violation(f"To names somebody else: {uri!r}")
        if not parameters.get("tag"):
            raise Violation("To has no tag")
        check_length(answer)
    except MessageError as error:
        raise Violation(str(error)) from None
    return parameters["tag"]


def _check_via_echo(sent: Subscribe, answer: Message) -> None:
    sent_by, parameters = parse_via(answer.only("via"))
    if sent_by != f"{sent.host}:{sent.port}":
        raise Violation(f"Via sent-by was changed: {sent_by!r}")
    if parameters.get("branch") != sent.branch:
        raise Violation(f"Via branch was changed: {parameters.get('branch')!r}")
    if parameters.get("rport") != str(sent.port):
        raise Violation(f"Via rport is {parameters.get('rport')!r} and not our source port {sent.port}")
    if parameters.get("received") != sent.host:
        raise Violation(f"Via received is {parameters.get('received')!r} and not our address {sent.host}")


def check_length(message: Message) -> None:
    """Content-Length must be there once and be exactly the number of bytes after the empty line."""
    text = message.only("content-length")
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise MessageError(f"Content-Length is {text!r}")
    if int(text) != len(message.body):
        raise MessageError(f"Content-Length is {text} but {len(message.body)} bytes follow the headers")


@dataclass(frozen=True)
class Order:
    """What a NOTIFY wants: `notify` fetches its URL, `check-sync` and `resync` ask the stored path, and `reboot`."""

    why: str
    url: str = ""

    @property
    def is_command(self) -> bool:
        """Whether only a configured phone obeys."""
        return self.why != "notify"


@dataclass(frozen=True)
class Verdict:
    """What a NOTIFY gets: the status, why if it is not 200, and the order if it is."""

    status: int
    why: str = ""
    order: Order | None = None


def judge_notify(message: Message, contact: str, user_id: str) -> Verdict:
    """Answer to a NOTIFY: 489 for an Event that is unknown, 404 for a strange user, 400 for other defects, else 200.

    `user_id` is the SIP user of the phone's account; it is addressed by its name as well as by its Contact.
    """
    event, _, parameters = message.first("event").partition(";")
    event = event.strip()
    if len(message.all("event")) != 1 or event not in ("ua-profile", *COMMANDS):
        return Verdict(489, f"Event is {event!r}" if event else "no Event header")
    user = re.fullmatch(r"sip:([^@;?]+)@(.+)", message.uri)
    if user and (f"sip:{user[2]}" != contact or not user_id or unquote(user[1]) != user_id):
        return Verdict(404, "no such user here")
    try:
        check_request(message, "NOTIFY", message.uri if user else contact)
        check_length(message)
        return Verdict(200, order=_read_order(message, event, parameters))
    except MessageError as error:
        return Verdict(400, str(error))


def _read_order(message: Message, event: str, parameters: str) -> Order:
    if event in COMMANDS:
        reboots = event == "check-sync" and split_parameters(parameters).get("reboot") == "true"
        return Order("reboot" if reboots else COMMANDS[event])
    if message.only("content-type").lower() != "application/url":
        raise MessageError(f"Content-Type is {message.only('content-type')!r}")
    return Order("notify", read_url(message.body))


def check_request(message: Message, method: str, contact: str) -> None:
    """What any request to us must have (RFC 3261 8.1.1), or MessageError."""
    if message.uri != contact:
        raise MessageError(f"Request-URI is not our Contact: {message.uri!r}")
    vias = message.all("via")
    if not vias:
        raise MessageError("no via header")
    _, parameters = parse_via(vias[0])
    branch = parameters.get("branch", "")
    if not branch.startswith(MAGIC_COOKIE) or branch == MAGIC_COOKIE:
        raise MessageError(f"Via branch does not start with {MAGIC_COOKIE}")
    uri, _ = parse_address(message.only("to"))
    if not uri.startswith(("sip:", "sips:")):
        raise MessageError("To is no SIP address")
    uri, parameters = parse_address(message.only("from"))
    if not uri.startswith(("sip:", "sips:")):
        raise MessageError("From is no SIP address")
    if not parameters.get("tag"):
        raise MessageError("From has no tag")
    if not re.fullmatch(r"\S+", message.only("call-id")):
        raise MessageError("Call-ID is empty or has blanks")
    match = re.fullmatch(rf"([0-9]{{1,10}})\s+{method}", message.only("cseq"))
    if not match or int(match[1]) >= 2**31:
        raise MessageError(f"CSeq is {message.only('cseq')!r}")
    if not re.fullmatch(r"[0-9]{1,3}", message.only("max-forwards")):
        raise MessageError("Max-Forwards is no number")


def read_url(body: bytes) -> str:
    """The one absolute http or https URL of a NOTIFY body; one CRLF after it is allowed (both are seen)."""
    try:
        text = body.removesuffix(b"\r\n").decode("ascii")
    except UnicodeDecodeError:
        raise MessageError("body is not ASCII") from None
    if not text or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise MessageError("body is not one URL")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username is not None or parts.fragment:
        raise MessageError("body is no absolute http or https URL")
    return text


def transaction_key(message: Message) -> tuple[str, ...]:
    """What a retransmission shares with the first NOTIFY: RFC 3261 17.2.3, Call-ID and CSeq besides."""
    try:
        sent_by, parameters = parse_via(message.first("via"))
    except MessageError:
        return ("", "", message.first("call-id"), message.first("cseq"))
    return (parameters.get("branch", ""), sent_by, message.first("call-id"), message.first("cseq"))


def retransmission_differs(first: Message, again: Message) -> bool:
    """Whether a retransmission is not the same request, which RFC 3261 17.1.2.2 wants."""
    return (first.method, first.uri, first.headers, first.body) != (
        again.method,
        again.uri,
        again.headers,
        again.body,
    )
