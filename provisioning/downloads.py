"""Which bytes a request may have, and what a finished download proves.

Text format (design, "Serving"): by the first path `cfg<mac>` and `cfg<mac>.xml` both give the file; by the steady
path only `cfg<mac>.xml` does. `fetched` is a complete 200; `applied` is a complete 200, or a 304 with the file's ETag,
by that version's own steady path after `fetched`, because nothing but a phone that took the file could know it.
"""

from dataclasses import dataclass, field
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from devices import inventory
from devices.choices import EventKind, Stage
from provisioning import outbox, url_forms
from provisioning.models import ConfigFile, Download, NotifyKind, PathKind
from provisioning.paths import Ask
from provisioning.rendering import hash_of

BEFORE_FETCHED = (Stage.ASSIGNED, Stage.NOTIFIED)


@dataclass(frozen=True)
class Offer:
    """A file that this request may have. `moves` says whether finishing it can move the phone's stage."""

    mac: str
    config_file: ConfigFile
    content: bytes = field(repr=False)
    path_kind: PathKind
    name: str
    moves: bool
    below: bool = False


def find(ask: Ask, source_host: str) -> Offer | None:
    """The file behind a secret path for this source address; None is the one refusal. Raises CannotDecrypt."""
    digest = hash_of(ask.secret)
    found = (
        ConfigFile.objects.select_related("phone")
        .defer(*outbox.SEALED)
        .filter(Q(first_hash=digest) | Q(steady_hash=digest))
        .first()
    )
    if found is None or found.phone.mac != ask.mac or not found.phone.is_assigned:
        return None
    current = outbox.current_file(found.phone_id)
    if current is None:
        return None
    if found.first_hash == digest:
        allowed = found.pk == current.pk and ask.suffix in ("", ".xml") and _first_path_open(found, source_host)
        kind = PathKind.FIRST
    else:
        own = found.pk == current.pk
        allowed = ask.suffix == ".xml" and (own or (found.retired_at is None and found.fetched_at is not None))
        kind = PathKind.STEADY if own else PathKind.OLD
    if not allowed:
        return None
    moves = current.fetched_at is None or (kind is PathKind.STEADY and current.applied_at is None)
    return Offer(ask.mac, current, bytes(current.content), kind, ask.name, moves, ask.below)


def _first_path_open(config_file: ConfigFile, source_host: str) -> bool:
    """The first path works only from the address that its NOTIFY was sent to, and not for ever."""
    return (
        config_file.first_host == source_host
        and config_file.first_until is not None
        and timedelta(0) <= config_file.first_until - timezone.now() <= timedelta(hours=outbox.FIRST_PATH_HOURS)
    )


def record(offer: Offer, status: int, counts: bool, source_host: str, user_agent: str) -> None:
    """Store a download and move the stage if it proves something; commit this before the body's end is sent."""
    now = timezone.now()
    version = offer.config_file
    with transaction.atomic():
        if not ConfigFile.objects.filter(pk=version.pk).exists():
            return  # the phone was forgotten while it fetched
        Download.objects.create(
            phone_id=version.phone_id,
            config_file=version,
            path_kind=offer.path_kind,
            name=offer.name[:40],
            status=status,
            counts=counts,
            source_host=source_host,
            user_agent=user_agent[:200],
            at=now,
        )
        inventory.touch(version.phone_id)
        newest = outbox.current_file(version.phone_id)
        if not counts or newest is None or newest.pk != version.pk:
            return
        fetched_now = status == 200 and bool(
            ConfigFile.objects.filter(pk=version.pk, fetched_at__isnull=True).update(fetched_at=now)
        )
        if fetched_now:
            _fetched(version, offer)
        elif not ConfigFile.objects.filter(pk=version.pk, fetched_at__isnull=False).exists():
            return  # a 304 sends no file: before `fetched` it says nothing
        if offer.path_kind == PathKind.STEADY:
            _by_steady_path(version, source_host, already_fetched=not fetched_now)
        if not fetched_now and offer.path_kind != PathKind.STEADY:
            inventory.tell(version.phone_id, EventKind.DOWNLOAD, f"Fetched {offer.name} again.")


def _fetched(version: ConfigFile, offer: Offer) -> None:
    inventory.advance(
        version.phone_id, Stage.FETCHED, BEFORE_FETCHED, f"Fetched its file ({offer.name}); it restarts now."
    )
    if offer.path_kind == PathKind.FIRST:
        url_forms.learn(version, offer.below)
    _drop_waiting(version, "The phone has fetched its file.")


def _by_steady_path(version: ConfigFile, source_host: str, already_fetched: bool) -> None:
    """The phone asks where only its own file could send it."""
    now = timezone.now()
    ConfigFile.objects.filter(pk=version.pk).update(steady_at=now)
    inventory.touch(version.phone_id, steady_host=source_host)
    ConfigFile.objects.filter(phone_id=version.phone_id, number__lt=version.number, retired_at__isnull=True).update(
        retired_at=now
    )
    if not already_fetched:
        return
    first_time = ConfigFile.objects.filter(pk=version.pk, fetched_at__isnull=False, applied_at__isnull=True).update(
        applied_at=now
    )
    if first_time:
        inventory.advance(
            version.phone_id,
            Stage.APPLIED,
            (*BEFORE_FETCHED, Stage.FETCHED),
            "Applied: it fetched again by the path that stands only inside its own file.",
        )
    else:
        inventory.tell(version.phone_id, EventKind.DOWNLOAD, "Fetched by its own path: still applied.")
        inventory.explain(version.phone_id, "")
    _drop_waiting(version, "The phone fetches by its own path.")


def _drop_waiting(version: ConfigFile, note: str) -> None:
    rows = version.notifies.filter(kind=NotifyKind.PROFILE, state__in=("waiting", "withheld"))
    outbox.drop_all(list(rows.values_list("pk", flat=True)), note)
