"""How a NOTIFY names the file: its full path, or the folder it lies in. Learned per model and firmware.

The vendor's guide shows the full path for GXP16xx; other families, and perhaps other firmware, want the folder. A
phone ignores a form that it does not like without a word, so what it fetches is all that it tells us.
Source: formats.md f33 to f36, d31.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.utils import timezone

from devices import batch
from devices.catalog import find_model
from devices.models import Phone
from provisioning.models import ConfigFile, LearnedUrlForm, Notify, NotifyKind, NotifyState, UrlForm
from provisioning.outbox import Due

# A phone may take the file minutes after its 200, when it is still busy with another one (formats.md d31).
FETCH_MINUTES = 6
OTHER = {UrlForm.FILE: UrlForm.FOLDER, UrlForm.FOLDER: UrlForm.FILE}


def choose(rows: Sequence[Due], now: datetime) -> dict[int, UrlForm]:
    """The form for each of these NOTIFYs: what was learned, else the family's, else the one not tried in vain."""
    learned = _learned({(row.model, row.firmware) for row in rows})
    in_vain = _in_vain((row.config_file_id for row in rows if row.fetched_at is None), now)
    forms = {}
    for row in rows:
        model = find_model(row.model)
        family = UrlForm(model.url_form) if model is not None else UrlForm.FILE
        form = learned.get((row.model, row.firmware), family)
        last = in_vain.get(row.config_file_id)
        forms[row.pk] = OTHER[last] if last is not None else form
    return forms


def learn(config_file: ConfigFile, below_the_file: bool) -> None:
    """A phone has fetched by its first path: remember which form of URL made it do so."""
    told = (
        Notify.objects.filter(config_file=config_file, kind=NotifyKind.PROFILE, first_sent_at__isnull=False)
        .exclude(url_form="")
        .order_by("-first_sent_at")
        .values_list("url_form", flat=True)
        .first()
    )
    # One that asks below the full path took the path for a folder.
    form = UrlForm.FOLDER if below_the_file else UrlForm(told) if told else None
    phone = Phone.objects.get(pk=config_file.phone_id)
    if form is None or not phone.firmware:
        return
    known = LearnedUrlForm.objects.filter(model=phone.model, firmware=phone.firmware)
    if known.filter(form=form).exists():
        return
    LearnedUrlForm.objects.update_or_create(
        model=phone.model, firmware=phone.firmware, defaults={"form": form, "learned_at": timezone.now()}
    )


def url(base_url: str, first_secret: str, mac: str, form: UrlForm, suffix: str = "") -> str:
    """The URL in a NOTIFY's body, secret until it is fetched; the guide's step 3 has the MAC in upper case.

    `suffix` is ".xml" for a phone that has the key of its encrypted file and is to take that.
    """
    folder = f"{base_url}/p/{first_secret}/"
    return folder if form is UrlForm.FOLDER else f"{folder}cfg{mac}{suffix}"


def _learned(wanted: set[tuple[str, str]]) -> dict[tuple[str, str], UrlForm]:
    rows = LearnedUrlForm.objects.filter(model__in={model for model, _ in wanted})
    return {(row.model, row.firmware): UrlForm(row.form) for row in rows if (row.model, row.firmware) in wanted}


def _in_vain(config_file_ids: Iterable[int], now: datetime) -> dict[int, UrlForm]:
    """Versions whose last NOTIFY was answered, but led to no complete fetch in time, and its form."""
    names = ("config_file", "kind", "settled_at", "url_form")
    rows = batch.select(Notify, names, "config_file", set(config_file_ids), only_if=("state", [NotifyState.DELIVERED]))
    last: dict[int, tuple[datetime, str]] = {}
    for file_id, kind, settled_at, form in rows:
        if kind == NotifyKind.PROFILE and form and settled_at is not None:
            last[file_id] = max(last.get(file_id, (settled_at, form)), (settled_at, form))
    late = now - timedelta(minutes=FETCH_MINUTES)
    return {file_id: UrlForm(form) for file_id, (at, form) in last.items() if at <= late}
