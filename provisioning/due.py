"""Which owed NOTIFYs are due, with all that decides about them. A part of the outbox; callers know only that one."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast

from devices.places import of_site
from provisioning.gxp.files import Bootstrap
from provisioning.models import Notify, NotifyOrigin, NotifyState

CLOCK_WENT_BACK_DAYS = 2


@dataclass(frozen=True, slots=True)
class Due:
    """A waiting row whose time has come, with all that decides whether and how it may leave."""

    pk: int
    kind: str
    origin: str
    next_at: datetime
    unless_steady_since: datetime | None
    config_file_id: int
    base_url: str
    first_token: str = field(repr=False)
    """The first path's secret, still encrypted."""
    fetched_at: datetime | None
    steady_at: datetime | None
    bootstrap_at: datetime | None
    """When the phone had taken the key of its encrypted file."""
    bootstrap_kind: str
    key_known_at: datetime | None
    """Since when the phone is known to have that key, which is not given to it any more."""
    phone_id: int
    mac: str
    model: str
    firmware: str
    stage: str
    source_host: str | None
    notify_port: int
    interface: str
    local_host: str | None
    subscribed_at: datetime | None
    approved_at: datetime | None
    approved_host: str | None
    steady_host: str | None

    @property
    def has_key(self) -> datetime | None:
        """Since when the phone has the key of its encrypted file, as far as this NOTIFY relies on it.

        A phone restarts after a key in plain XML, and is to go on with the file then. All else begins with the key
        anew, until the phone is known to have it: a person who asks again, a phone that came back without its
        configuration, and one that started up although a binary key needs no restart.
        """
        relies = self.origin == NotifyOrigin.AUTOMATIC and self.unless_steady_since is None
        relies = relies and self.bootstrap_kind == Bootstrap.XML
        return self.bootstrap_at if relies else None

    @property
    def names_file(self) -> bool:
        """Whether the phone is to take the encrypted file itself: nothing else is there for it, or it has the key."""
        return self.key_known_at is not None or self.has_key is not None

    @property
    def target(self) -> tuple[str, int]:
        return self.source_host or "", self.notify_port


_OF_FILE = ("base_url", "first_token", "fetched_at", "steady_at", "bootstrap_at", "bootstrap_kind", "key_known_at")
_OF_PHONE = (
    "mac", "model", "firmware", "stage", "source_host", "notify_port", "interface", "local_host", "subscribed_at",
    "approved_at", "approved_host", "steady_host",
)  # fmt: skip
_COLUMNS = (
    "pk", "kind", "origin", "next_at", "unless_steady_since", "config_file_id",
    *(name if name == "first_token" else f"config_file__{name}" for name in _OF_FILE),
    "phone_id", *(f"phone__{name}" for name in _OF_PHONE),
)  # fmt: skip


def heard_at(site: str | None) -> Q:
    """Phones that the listener of this site is to tell: it heard them last. None: whoever heard them.

    Two sites may have the same interface and the same address, so the place alone does not tell them apart.
    """
    return of_site("phone__heard_site", site)


def due(now: datetime, places: Iterable[tuple[str, str]], limit: int, site: str | None = None) -> list[Due]:
    """Waiting rows whose time has come, oldest first; also those absurdly far ahead, for then the clock went back.

    `places` are the (interface, our address) pairs that the caller, a listener of `site`, can send from: a phone is
    notified from where it was heard. A phone that is just being told something is left alone until that is over.
    """
    far = now + timedelta(days=CLOCK_WENT_BACK_DAYS)
    here = Q(pk__in=[])
    for interface, local_host in places:
        here |= Q(phone__interface=interface, phone__local_host=local_host)
    busy = Notify.objects.filter(phone_id=OuterRef("phone_id"), state=NotifyState.SENDING)
    rows = Notify.objects.filter(
        here, heard_at(site), Q(next_at__lte=now) | Q(next_at__gt=far), ~Exists(busy), state=NotifyState.WAITING
    ).order_by("next_at", "id")
    found: dict[int, Due] = {}
    for row in read(rows[:limit]):
        found.setdefault(row.phone_id, row)
    return list(found.values())


def read(rows: QuerySet[Notify]) -> list[Due]:
    """These rows with what decides about them. Secrets stay as they are stored: one that no key opens must not keep the
    others from leaving."""
    with_token = rows.annotate(first_token=Cast("config_file__first_secret", TextField()))
    return [Due(*row) for row in with_token.values_list(*_COLUMNS)]
