"""The last exchange with each phone in the database: redacted, one row of a kind, gone with the phone."""

import pytest

from devices import inventory
from provisioning.models import Notify
from provisioning.paths import hash_of
from provisioning.phonebook.models import Phonebook
from sipmcast import transcripts
from sipmcast.agent import Agent
from sipmcast.models import Transcript
from tests import cast

pytestmark = [pytest.mark.django_db, pytest.mark.db]
SUBSCRIBE = (
    "SUBSCRIBE sip:MAC%3A{mac}@224.0.1.75 SIP/2.0\r\nVia: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{branch};rport\r\n"
    'From: <sip:MAC%3A{mac}@224.0.1.75>;tag=1\r\nTo: <sip:MAC%3A{mac}@224.0.1.75>\r\nCall-ID: {branch}\r\n'
    "CSeq: 1 SUBSCRIBE\r\nContact: <sip:{host}:5060>\r\nExpires: 0\r\nX-Odd: \xff\x1b{extra}\r\n"
    'Event: ua-profile;profile-type="device";vendor="Grandstream";model="GXP1628";version="1.0.4.88"\r\n'
    "Content-Length: 0\r\n\r\n"
)  # fmt: skip


@pytest.fixture
def agent():
    return Agent(b"key")


def subscribe(agent: Agent, now: float, mac: str = cast.MAC, host: str = cast.HOST, extra: str = "") -> None:
    text = SUBSCRIBE.format(mac=mac, host=host, branch=f"b{now:.0f}{host}", extra=extra)
    agent.receive(text.encode("latin-1"), (host, 5060), cast.LEG, now, 1.7e9, group=True)
    for event in agent.take_events():
        agent.answer(event.key, now)


def store(agent: Agent, now: float, at: float = 1_772_366_400.0) -> int:
    return transcripts.store(agent.journal.ripe(now, 100), now, at)


def test_what_a_phone_said_is_there_before_anybody_assigns_it(agent):
    phone = cast.seen()
    subscribe(agent, 100.0)
    assert store(agent, 105.0) == 1
    row = Transcript.objects.get()
    assert (row.phone, row.kind, len(row.messages)) == (phone, "subscribe", 2)
    heard, answered = row.messages
    assert (heard["sent"], heard["theirs"], heard["group"]) == (False, f"{cast.HOST}:5060", True)
    assert "X-Odd: \\xff\\x1b" in heard["text"] and "SUBSCRIBE sip:MAC%3A" in heard["text"]
    assert answered["text"].startswith("SIP/2.0 200 OK")
    assert heard["at"] == "2026-03-01T11:59:55.000+00:00"  # 5 s before it is stored


def test_the_next_one_takes_its_place(agent):
    cast.seen()
    subscribe(agent, 100.0, extra="first")
    store(agent, 105.0)
    subscribe(agent, 200.0, extra="second")
    store(agent, 205.0)
    assert "second" in Transcript.objects.get().messages[0]["text"]


def test_a_notify_is_stored_without_the_secret_of_its_path(agent):
    version = cast.assigned()
    sent = cast.sent(version)
    url = f"http://10.0.0.1:5481/p/{version.first_secret}/cfg{cast.MAC}"
    agent.notify(sent.pk, f"NOTIFY sip:x SIP/2.0\r\n\r\n{url}".encode(), "z9hG4bK1", (cast.HOST, 5060), cast.LEG, 0.0)
    assert store(agent, 5.0) == 1
    (message,) = Transcript.objects.get(kind="notify").messages
    assert message["sent"] and "/p/********/cfg" in message["text"]
    assert version.first_secret not in str(Transcript.objects.values())


def test_a_phones_own_secrets_and_a_phonebooks_are_masked_wherever_the_phone_says_them(agent):
    version = cast.assigned()
    Phonebook.objects.create(secret="PhonebookPhonebookPho_", secret_hash=hash_of("PhonebookPhonebookPho_"))
    secrets = (version.first_secret, version.steady_secret, "PhonebookPhonebookPho_")
    subscribe(agent, 100.0, extra=" cfg2f".join(("", *secrets)))
    # One of these is cut off in the middle.
    subscribe(agent, 110.0, host=cast.STRANGER, extra=". " * 1_600 + f"{secrets[0]} " * 50)
    store(agent, 120.0)
    said = str(list(Transcript.objects.values()))
    assert said.count("X-Odd") == 2 and "'cut': True" in said
    for secret in secrets:
        assert secret not in said and secret[:16] not in said


def test_who_claims_to_be_a_phone_does_not_hide_what_the_phone_has_said(agent):
    cast.assigned()
    subscribe(agent, 100.0, extra="the phone")
    store(agent, 105.0)
    subscribe(agent, 110.0, host=cast.STRANGER, extra="a stranger")
    store(agent, 115.0)
    rows = {row.kind: row.messages[0]["text"] for row in Transcript.objects.all()}
    assert "the phone" in rows["subscribe"] and "a stranger" in rows["claim"]


def test_what_belongs_to_no_phone_is_left_out(agent):
    subscribe(agent, 100.0)
    agent.notify(4711, b"NOTIFY", "z9hG4bK1", (cast.HOST, 5060), cast.LEG, 100.0)
    assert store(agent, 105.0) == 0
    assert not Transcript.objects.exists()


def test_it_goes_with_the_phone(agent):
    phone = cast.seen()
    subscribe(agent, 100.0)
    store(agent, 105.0)
    inventory.forget(phone.pk, "tess")
    assert not Transcript.objects.exists() and not Notify.objects.exists()


def test_the_largest_exchange_is_a_small_row(agent):
    cast.seen()
    subscribe(agent, 100.0, extra="x" * 7_000)
    store(agent, 105.0)
    heard = Transcript.objects.get().messages[0]
    assert heard["cut"] and len(heard["text"]) <= 6_000 and heard["size"] > 7_000
