"""An agent on a bench: a clock, one leg, and datagrams of a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sipmcast.agent import Agent, Leg, Outgoing
from sipmcast.events import Event, PhoneSighted
from sipmcast.pnp import NotifyIds, Telling, notify_datagram
from sipmcast.sip.message import Response, parse_message

DATAGRAMS = Path(__file__).parent.parent / "datagrams"
FILES = {path.stem: path.read_bytes() for path in sorted(DATAGRAMS.glob("*.sip"))}
GUIDE = FILES["subscribe-gxp1628"]
PHONE = ("172.18.32.197", 5060)
LEG = Leg("eth0", "172.18.0.10", 6060)
OPTIONS = GUIDE.replace(b"SUBSCRIBE sip", b"OPTIONS sip").replace(b"20000 SUBSCRIBE", b"1 OPTIONS")
NOTIFY = notify_datagram(
    phone=PHONE,
    ours=("172.18.0.10", 6060),
    telling=Telling("ua-profile", "http://172.18.0.10/x"),
    ids=NotifyIds("z9hG4bKours", "t", "c"),
)


class Bench:
    """An agent with a clock and one leg; `hear` returns what it sends and says."""

    def __init__(self, key: bytes = b"key", **options: Any) -> None:
        self.agent = Agent(key, **options)
        self.now = 1000.0

    def hear(
        self, data: bytes, source: tuple[str, int] = PHONE, *, group: bool = True
    ) -> tuple[list[Outgoing], list[Event]]:
        self.agent.receive(data, source, LEG, self.now, 1.7e9, group=group)
        return self.agent.take_datagrams(), self.agent.take_events()

    def sighted(self, data: bytes = GUIDE, *, group: bool = True) -> str:
        sent, events = self.hear(data, group=group)
        assert sent == [] and isinstance(events[0], PhoneSighted)
        return events[0].key

    def answered(self, key: str) -> list[Outgoing]:
        self.agent.answer(key, self.now)
        return self.agent.take_datagrams()


def answer_to(sent: list[Outgoing]) -> Response:
    assert len(sent) == 1
    message = parse_message(sent[0].datagram)
    assert isinstance(message, Response)
    return message


def method(name: str, data: bytes = GUIDE) -> bytes:
    text = name.encode()
    return data.replace(b"SUBSCRIBE sip", text + b" sip").replace(b"20000 SUBSCRIBE", b"20000 " + text)


def phone_says(status: int, reason: str = "OK", data: bytes = NOTIFY) -> bytes:
    head = data.partition(b"\r\n\r\n")[0].partition(b"\r\n")[2].replace(b"Content-Length: 20", b"Content-Length: 0")
    return f"SIP/2.0 {status} {reason}\r\n".encode() + head + b"\r\n\r\n"
