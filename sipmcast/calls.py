"""From a row of the outbox to the bytes of its NOTIFY: opened, answering a challenge, or sent to the phone's user."""

import secrets
from dataclasses import dataclass, field

from provisioning.logins import Account
from provisioning.models import Notify, NotifyKind, UrlForm
from provisioning.outbox import Due, Opening
from provisioning.url_forms import url
from sipmcast.events import Leg
from sipmcast.pnp import CHECK_SYNC, EVENT_PACKAGE, REBOOT, RESYNC, NotifyIds, Telling, notify_datagram
from sipmcast.sip.digest import Challenge, Login, authorization
from sipmcast.sip.headers import Header
from sipmcast.sip.message import Request, parse_message
from sipmcast.under_way import About

CNONCE_BYTES = 16
COMMANDS = {NotifyKind.CHECK_SYNC: CHECK_SYNC, NotifyKind.RESYNC: RESYNC, NotifyKind.REBOOT: REBOOT}


@dataclass(frozen=True, slots=True)
class Send:
    """A NOTIFY transaction to open or, with `elapsed_seconds`, to go on with after a restart."""

    notify_id: int
    about: About
    branch: str
    datagram: bytes = field(repr=False)
    target: tuple[str, int]
    leg: Leg
    elapsed_seconds: float = 0.0


def first(row: Due, leg: Leg, form: UrlForm, first_secret: str) -> Opening:
    """The transaction that a due row opens; raises SipSerialiseError if its URL cannot be sent."""
    if row.kind == NotifyKind.PROFILE:
        suffix = ".xml" if row.names_file else ""
        telling = Telling(EVENT_PACKAGE, url(row.base_url, first_secret, row.mac, form, suffix))
    else:
        telling = COMMANDS[NotifyKind(row.kind)]
    written = form.value if row.kind == NotifyKind.PROFILE else ""
    return _opening(telling, row.target, leg, NotifyIds.fresh(), url_form=written)


def with_login(notify: Notify, leg: Leg, challenge: Challenge, account: Account) -> Opening:
    """The same NOTIFY again with an answer to the challenge: same call and From tag, new branch, CSeq + 1.

    Source: RFC 3261 22.2 and 8.1.3.5.
    """
    before = _sent(notify)
    ids = NotifyIds(NotifyIds.fresh().branch, notify.from_tag, notify.call_id)
    login = authorization(
        challenge,
        Login(account.auth_id, account.password),
        before.method,
        before.uri,
        before.body,
        secrets.token_hex(CNONCE_BYTES),
    )
    return _opening(_told(before), notify.target, leg, ids, cseq=notify.cseq + 1, user=notify.to_user, login=login)


def to_user(notify: Notify, leg: Leg, user: str) -> Opening:
    """The same thing told to a SIP user of the phone, as a call of its own."""
    return _opening(_told(_sent(notify)), notify.target, leg, NotifyIds.fresh(), user=user)


def _opening(
    telling: Telling,
    target: tuple[str, int],
    leg: Leg,
    ids: NotifyIds,
    *,
    cseq: int = 1,
    user: str = "",
    login: Header | None = None,
    url_form: str = "",
) -> Opening:
    datagram = notify_datagram(
        phone=target, ours=(leg.host, leg.port), telling=telling, ids=ids, cseq=cseq, user=user, login=login
    )
    return Opening(
        call_id=ids.call_id,
        branch=ids.branch,
        from_tag=ids.tag,
        datagram=datagram,
        target=target,
        interface=leg.interface,
        local_host=leg.host,
        cseq=cseq,
        url_form=url_form,
        to_user=user,
    )


def _sent(notify: Notify) -> Request:
    """The request that this row has under way. Raises CannotDecrypt."""
    message = parse_message(bytes(notify.datagram or b""))
    assert isinstance(message, Request)
    return message


def _told(request: Request) -> Telling:
    return Telling(request.first("event") or EVENT_PACKAGE, request.body.decode("ascii"))
