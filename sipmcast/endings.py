"""How NOTIFYs end, on the SIP side: a challenge is answered, the phone's user is asked, or the end is recorded.

Called in a helper process. What an end means for the phone is in provisioning/settling.py.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from devices import crypto, inventory, trust
from devices.choices import EventKind
from devices.models import Phone
from devices.trust import Standing, Verdict
from provisioning import logins, outbox, settling
from provisioning.models import Notify, NotifyKind, NotifyOrigin
from provisioning.outbox import Due
from provisioning.settling import Answer
from sipmcast import calls, neighbours
from sipmcast.calls import Send
from sipmcast.events import Leg, LegKey, NotifyAnswered, NotifyTimedOut
from sipmcast.sip.digest import choose
from sipmcast.sip.errors import SipSerialiseError

log = logging.getLogger(__name__)

NO_USER = (404, 481)  # RFC 3261 21.4.5, 21.4.19: the phone knows nobody of that address

# Locked for too long, or gone, or a helper process has died; any other error is a fault of ours.
STORE_AWAY = (OperationalError, InterfaceError, ConnectionError)


def settle(events: Sequence[NotifyAnswered | NotifyTimedOut], legs: Mapping[LegKey, Leg]) -> list[Send]:
    """Record how transactions ended, and what is to be sent because of it.

    One that cannot be recorded is logged; a store that is away is the caller's.
    """
    answers = [event for event in events if isinstance(event, NotifyAnswered)]
    fine = [event for event in answers if 200 <= event.status < 300]
    if fine:
        settling.delivered([Answer(event.token, event.status, event.reason, _heard_at(event)) for event in fine])
    sends: list[Send] = []
    for event in events:
        if isinstance(event, NotifyAnswered) and 200 <= event.status < 300:
            continue
        try:
            send = _settle_one(event, legs)
        except STORE_AWAY:
            raise
        except Exception:
            log.exception("NOTIFY %d: its end cannot be recorded", event.token)
        else:
            sends += [send] if send is not None else []
    return sends


def _heard_at(event: NotifyAnswered) -> datetime | None:
    return None if event.at is None else datetime.fromtimestamp(event.at, UTC)


def _settle_one(event: NotifyAnswered | NotifyTimedOut, legs: Mapping[LegKey, Leg]) -> Send | None:
    """Answer a challenge, or ask once more by the user's name, if that is what is left to do; else record the end."""
    status = event.status if isinstance(event, NotifyAnswered) else None
    log.info("NOTIFY %d: %s", event.token, f"{status} {event.reason}" if status else "no answer")  # type: ignore[union-attr]
    notify = Notify.objects.select_related("phone").defer("datagram").filter(pk=event.token).first()
    if notify is None or (isinstance(event, NotifyAnswered) and event.branch not in ("", notify.branch)):
        return None  # forgotten, or the end of an earlier transaction that was settled already
    leg = legs.get((notify.interface, notify.local_host or ""))
    why = ""
    try:
        if isinstance(event, NotifyAnswered) and status in (401, 407):
            send, why = _answer_challenge(notify, event, leg)
        else:
            send = _ask_the_user(notify, leg) if status is None or status in NO_USER else None
    except (crypto.CannotDecrypt, SipSerialiseError) as error:
        send, why = None, f"Nothing more can be sent to it: {error}."
    if send is not None:
        return send
    if isinstance(event, NotifyAnswered):
        settling.refused(Answer(event.token, event.status, event.reason, _heard_at(event)), why)
    else:
        settling.unanswered(event.token)
    return None


def _answer_challenge(notify: Notify, event: NotifyAnswered, leg: Leg | None) -> tuple[Send | None, str]:
    """The next try to log in, or (None, why there is none): a challenge is also a way to collect hashes."""
    now = timezone.now()
    if notify.challenged_at is None:
        Notify.objects.filter(pk=notify.pk).update(challenged_at=now)
        inventory.tell(notify.phone_id, EventKind.NOTIFY, f"Asked for a password ({event.status}).")
    challenge = choose(event.challenges)
    if challenge is None:
        return None, f"It asked for a password in a way that we do not know ({event.status} {event.reason})."
    doubt = _doubt(notify, now)
    if doubt:
        return None, f"It asked for a password, and none was sent. {doubt}"
    known = logins.accounts(notify.phone_id)
    renewing = challenge.stale and not notify.renewed and notify.logins_tried > 0
    place = notify.logins_tried - 1 if renewing else notify.logins_tried
    if leg is None:
        return None, f"It asked for a password, but {notify.interface} is gone meanwhile. Try again."
    if place >= len(known):
        too_old = "It finds every login of ours too old; its clock or its nonces are out of order."
        return None, too_old if challenge.stale else ""
    opening = calls.with_login(notify, leg, challenge, known[place])
    tried = {"logins_tried": place + 1, "renewed": notify.renewed or renewing}
    return _reopened(notify, opening, leg, **tried), ""


def _doubt(notify: Notify, now: datetime) -> str | None:
    """Why the address this NOTIFY went to may not be told a secret, or a login, now; None if it may (design 5.2)."""
    phone, host = notify.phone, str(notify.target_host)
    if host != phone.source_host:
        return f"It has moved from {host} to {phone.source_host} meanwhile. Try again."
    verdict = neighbours.verify(host, phone.mac, notify.interface)
    if verdict is Verdict.MISMATCH:
        return f"The neighbour table shows another device's MAC at {host}: find out which one it is."
    return trust.objection(standing(notify, phone, now, verdict), verdict)


def _ask_the_user(notify: Notify, leg: Leg | None) -> Send | None:
    """A configured phone that does not know the device's address is asked once by its user's name."""
    user = "" if notify.to_user else logins.user_id(notify.phone_id)
    if leg is None or not user:
        return None
    if notify.kind == NotifyKind.PROFILE and (
        settling.superfluous(notify) or _doubt(notify, timezone.now()) is not None
    ):
        return None
    return _reopened(notify, calls.to_user(notify, leg, user), leg, logins_tried=0, renewed=False)


def _reopened(notify: Notify, opening: outbox.Opening, leg: Leg, **changes: object) -> Send | None:
    if not outbox.reopen(notify, opening, **changes):
        return None
    return Send(notify.pk, (notify.phone_id, notify.kind), opening.branch, opening.datagram, opening.target, leg)


def standing(row: Due | Notify, phone: Due | Phone, now: datetime, verdict: Verdict) -> Standing:
    """`phone` is whatever has the phone's columns: the row itself, or its phone."""
    times = (phone.subscribed_at, phone.approved_at)
    ages = [(now - one).total_seconds() if one else float("inf") for one in times]
    age = max(ages) if min(ages) >= -trust.CLOCK_SLACK_SECONDS else float("inf")  # a time to come proves nothing
    insists = row.origin == NotifyOrigin.PERSON
    if row.origin == NotifyOrigin.SAVE:
        insists = verdict is not Verdict.MISMATCH or not neighbours.knows_phones(phone.interface)
    return Standing(phone.source_host, phone.approved_host, phone.steady_host, age, insists)
