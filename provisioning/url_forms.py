"""How a NOTIFY names the file: its full path, or the folder it lies in. Learned per model and firmware.

The vendor's guide shows the full path for GXP16xx; other families, and perhaps other firmware, want the folder. A
phone ignores a form that it does not like without a word, so what it fetches is all that it tells us.
Source: formats.md f33 to f36, d31.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
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
    learn_all({config_file.pk: below_the_file})


def learn_all(below_the_file: Mapping[int, bool]) -> None:
    """The same for many: version -> whether the phone asked below the file's own path."""
    owners = dict(batch.select(ConfigFile, ("pk", "phone"), "pk", list(below_the_file)))
    phones = {pk: rest for pk, *rest in batch.select(Phone, ("pk", "model", "firmware"), "pk", set(owners.values()))}
    told, forms = _told(below_the_file), {}
    for pk, phone_id in owners.items():
        model, firmware = phones.get(phone_id, ("", ""))
        if not firmware:
            continue
        # One that asks below the full path took the path for a folder.
        form = UrlForm.FOLDER if below_the_file[pk] else told.get(pk)
        if form is not None:
            forms[model, firmware] = form
    for (model, firmware), form in sorted(forms.items()):  # all lock them in the same order
        if not LearnedUrlForm.objects.filter(model=model, firmware=firmware, form=form).exists():
            LearnedUrlForm.objects.update_or_create(
                model=model, firmware=firmware, defaults={"form": form, "learned_at": timezone.now()}
            )


def _told(config_file_ids: Collection[int]) -> dict[int, UrlForm]:
    """The form in which each of these versions was named last."""
    names = ("config_file", "kind", "first_sent_at", "url_form")
    rows = batch.select(Notify, names, "config_file", list(config_file_ids))
    sent = [(at, pk, form) for pk, kind, at, form in rows if kind == NotifyKind.PROFILE and form and at is not None]
    return {pk: UrlForm(form) for _, pk, form in sorted(sent)}


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
