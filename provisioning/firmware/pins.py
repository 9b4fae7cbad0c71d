"""Which version a phone shall run next, and when to stop trying."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Max, OuterRef, Q, Subquery
from django.utils import timezone
from django.utils.translation import gettext

from devices import inventory
from devices.catalog import MODELS
from devices.choices import WAY
from devices.models import Phone
from provisioning.firmware.models import FirmwareImage, FirmwareStep, FirmwareTry
from provisioning.gxp import firmware
from provisioning.models import ConfigFile

MAX_TRIES = 3
LOOK_AT_MOST = 500
GIVEN_UP = (
    "It has fetched firmware {version} {tries} times and still runs {runs}: it refuses the image. Upload the right "
    "one, or take the version from the path of its model."
)
HELD_BACK_MINUTES = 30  # an upgrade takes five; our choice
HELD_BACK = (
    "It has no account yet: it gets it when it runs firmware {version}, and it runs {runs}. Look whether it can fetch "
    "the image, or give it its account now with upgrade_first = no."
)


class PinError(ValueError):
    """The path cannot be pinned; the text says what to do."""


def pin(model: str, versions: Sequence[str]) -> None:
    """Pin the path of a model, an empty one for none. Raises PinError."""
    model, images = _checked(model, versions)
    with transaction.atomic():
        FirmwareStep.objects.filter(model=model).delete()
        FirmwareStep.objects.bulk_create(
            FirmwareStep(model=model, place=place, image=images[version], set_at=timezone.now())
            for place, version in enumerate(versions)
        )
        FirmwareTry.objects.filter(phone__model__iexact=model).delete()  # a new path is tried anew


def touched(model: str, versions: Sequence[str]) -> int:
    """How many assigned phones such a path would make fetch another firmware; nothing is written. Raises PinError."""
    model, _ = _checked(model, versions)
    runs = Phone.objects.filter(stage__in=WAY, model__iexact=model).values_list("firmware", flat=True)
    return sum(firmware.next_step(one, versions) is not None for one in runs)


def _checked(model: str, versions: Sequence[str]) -> tuple[str, dict[str, FirmwareImage]]:
    """The model's name as we write it, and the images of the path. Raises PinError."""
    model = model.strip().upper()
    if model not in MODELS:
        words = gettext("There is no model %(name)r; choose from %(models)s.")
        raise PinError(words % {"name": model, "models": ", ".join(MODELS)})
    images = {image.version: image for image in FirmwareImage.objects.filter(version__in=list(versions))}
    missing = [version for version in versions if version not in images]
    if missing:
        raise PinError(gettext("There is no image of %(version)s; upload it first.") % {"version": missing[0]})
    wrong = firmware.path_fault(versions)
    if wrong:
        raise PinError(f"The path {wrong}.")
    return model, images


def set_at() -> datetime | None:
    """When a path was last set."""
    at: datetime | None = FirmwareStep.objects.aggregate(Max("set_at"))["set_at__max"]
    return at


def paths() -> dict[str, list[str]]:
    """The path of each model that has one."""
    found: dict[str, list[str]] = defaultdict(list)
    for model, version in FirmwareStep.objects.order_by("model", "place").values_list("model", "image__version"):
        found[model].append(version)
    return found


def next_versions(phones: Iterable[Phone]) -> dict[int, str]:
    """The step that each of these phones takes next; none for whoever is there, is beyond, or has given up."""
    steps = paths()
    if not steps:
        return {}
    wanted = {phone.pk: firmware.next_step(phone.firmware, steps.get(phone.model.upper(), ())) for phone in phones}
    used_up = set(
        FirmwareTry.objects.filter(phone__in=list(wanted), tries__gte=MAX_TRIES).values_list("phone", "version")
    )
    return {pk: version for pk, version in wanted.items() if version and (pk, version) not in used_up}


def short(phones: Iterable[Phone]) -> set[int]:
    """Which of these do not run the last version of their model's path, or do not say what they run."""
    steps = paths()
    last = {phone.pk: (steps.get(phone.model.upper()) or [""])[-1] for phone in phones}
    return {phone.pk for phone in phones if last[phone.pk] and not firmware.is_there(phone.firmware, last[phone.pk])}


def settings_for(version: str | None, place: str) -> Mapping[str, str]:
    """What a phone's file says so that it takes this step; nothing if there is none."""
    return firmware.upgrade_settings(place, version) if version else {}


def fetched(phone_id: int, version: str) -> None:
    """The phone has fetched an image whole: one more try, and the last one if it still runs the old version."""
    now = timezone.now()
    with transaction.atomic():
        row, _ = FirmwareTry.objects.get_or_create(phone_id=phone_id, version=version)
        FirmwareTry.objects.filter(pk=row.pk).update(tries=F("tries") + 1, fetched_at=now)


def give_up() -> int:
    """Say of phones whose upgrade does not go on why they stand still; how many are new. Call it now and then.

    The tries of a version are kept even if the phone runs it after all: one that falls back would else begin anew,
    and restart for ever.
    """
    told = 0
    rows = FirmwareTry.objects.filter(tries__gte=MAX_TRIES, phone__stage__in=WAY).select_related("phone")
    for row in rows.order_by("-fetched_at")[:LOOK_AT_MOST]:
        if not firmware.is_there(row.phone.firmware, row.version):
            words = GIVEN_UP.format(version=row.version, tries=row.tries, runs=row.phone.firmware or "no known version")
            if not row.phone.stage_reason:  # what stands there already is nearer to what has to be done
                told += inventory.explain(row.phone_id, words)
    return told + _explain_held_back()


def _explain_held_back() -> int:
    """Phones that wait for their accounts longer than an upgrade takes."""
    newest = ConfigFile.objects.filter(phone=OuterRef("pk")).order_by("-number")
    # Few, and found by an index: else the newest file of every phone would be looked at, every few seconds.
    on_way = ConfigFile.objects.filter(~Q(firmware="") | Q(held_back=True)).values("phone")
    waiting = Phone.objects.filter(pk__in=on_way, stage__in=WAY, stage_reason="").annotate(
        held_back=Subquery(newest.values("held_back")[:1]), since=Subquery(newest.values("applied_at")[:1])
    )
    late = timezone.now() - timedelta(minutes=HELD_BACK_MINUTES)
    phones, steps = list(waiting.filter(held_back=True, since__lt=late)[:LOOK_AT_MOST]), paths()
    words = {
        phone.pk: HELD_BACK.format(
            version=(steps.get(phone.model.upper()) or ["of its path"])[-1], runs=phone.firmware or "an unknown one"
        )
        for phone in phones
    }
    return inventory.explain_all(words)


def behind() -> list[int]:
    """Assigned phones whose file leads to another version than their next step, or that wait for their accounts and
    need not any more: they need a new file.

    Asked every few seconds: only whose upgrade is under way, and who runs less than its path, is looked at closely.
    """
    on_way = ConfigFile.objects.filter(~Q(firmware="") | Q(held_back=True)).values("phone")
    newest = ConfigFile.objects.filter(phone=OuterRef("pk")).order_by("-number")
    looked_at = Phone.objects.filter(_short_of_a_step() | Q(pk__in=on_way), stage__in=WAY, local_host__isnull=False)
    looked_at = looked_at.annotate(
        led_to=Subquery(newest.values("firmware")[:1]), held_back=Subquery(newest.values("held_back")[:1])
    )
    phones = [phone for phone in looked_at.filter(led_to__isnull=False) if phone.known_model is not None]
    wanted, still_short = next_versions(phones), short(phones)
    return sorted(
        phone.pk
        for phone in phones
        if phone.led_to != wanted.get(phone.pk, "") or (phone.held_back and phone.pk not in still_short)
    )


def _short_of_a_step() -> Q:
    """A site has thousands of phones, and a handful of models and versions of firmware."""
    steps, wrong = paths(), Q(pk__in=[])
    if steps:
        for model, runs in Phone.objects.order_by().values_list("model", "firmware").distinct():
            if firmware.next_step(runs, steps.get(model.upper(), ())):
                wrong |= Q(model=model, firmware=runs)
    return wrong
