"""Fill a site's database with phones before its listener starts; run with the site's own settings.

`python -m tests.bench.arrange SHAPE FIRST COUNT OUR-ADDRESS INTERFACE`. The rows are those that the product itself
leaves behind. Shapes: `owed`: saved by a technician while the phones had no power, so that each start owes a NOTIFY;
`applied`: fetched and applied yesterday; `seen`: heard, never assigned; `listed`: as `applied`, with all that a list
shows and no file. `technician` instead of all that makes a
person who may do everything, and prints the key of a session. Only here and in rerender.py the benchmark uses the ORM.
"""

import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from importlib import import_module

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.db import transaction  # noqa: E402
from django.utils import timezone  # noqa: E402

from devices.catalog import DEFAULT_CODECS, MODELS  # noqa: E402
from devices.choices import Stage  # noqa: E402
from devices.models import Account, Phone  # noqa: E402
from provisioning import plan, rendering  # noqa: E402
from provisioning.gxp import document  # noqa: E402
from provisioning.gxp.config import AccountConfig  # noqa: E402
from provisioning.layers import stack  # noqa: E402
from provisioning.models import ConfigFile, LayerLevel, Notify, NotifyOrigin, NotifyState, SettingsLayer  # noqa: E402
from tests.bench.ground import PORT, host_of, mac_of  # noqa: E402

MODEL, FIRMWARE = "GXP1628", "1.0.4.88"
CHUNK_ROWS = 500
SENT_AGO = timedelta(minutes=2)  # the first NOTIFY of a phone without power: its 32 s are over
RETRY_IN = timedelta(minutes=10)  # outbox.AUTOMATIC_PAUSE_MINUTES


def draft(number: int) -> plan.Draft:
    """What a technician typed for this phone."""
    account = AccountConfig(
        number=1, sip_server="10.71.1.1", user_id=str(10_000 + number), auth_id="", password=f"secret-{number}",
        display_name=f"Phone {number}", voicemail="", codecs=DEFAULT_CODECS,
    )  # fmt: skip
    return plan.Draft((account,))


def phone_row(number: int, stage: Stage, ours: str, interface: str, now: datetime) -> Phone:
    before = now - timedelta(days=1)
    host = host_of(number)
    assigned = stage is not Stage.SEEN
    return Phone(
        mac=mac_of(number), vendor="Grandstream", model=MODEL, firmware=FIRMWARE,
        stage=stage, stage_at=before, version=int(assigned),
        source_host=host, notify_port=PORT, contact=f"sip:{host}:{PORT}", interface=interface, local_host=ours,
        approved_host=host if assigned else None, approved_at=now if assigned else None,
        steady_host=host if stage is Stage.APPLIED else None,
        first_seen_at=before, last_seen_at=before, subscribed_at=before,
    )  # fmt: skip


def rendered(phone: Phone, number: int, now: datetime) -> ConfigFile:
    """Its first version, as a save renders it."""
    base = plan.base_url(phone.local_host)
    layers = rendering.with_passwords((stack.our_defaults(),), MODELS[MODEL])
    wanted = rendering.Wanted(phone, MODELS[MODEL], draft(number), layers, base)
    file = rendering.next_version(wanted, None, by="bench", why="Saved.")
    assert file is not None
    file.bench_own = wanted.own
    file.number, file.created_at = 1, now
    if phone.stage == Stage.APPLIED:
        file.fetched_at = file.applied_at = file.steady_at = now - timedelta(hours=1)
    return file


def own_layer(file: ConfigFile, now: datetime) -> SettingsLayer:
    """Where the passwords are kept that were made for this phone."""
    layer = SettingsLayer(level=LayerLevel.PHONE, phone_id=file.phone_id, changed_by="bench", changed_at=now)
    layer.values = file.bench_own
    return layer


def texts(number: int) -> dict[str, str]:
    """What the first version of this phone says, by setting."""
    now = timezone.now()
    return document.values(rendered(phone_row(number, Stage.SEEN, "10.71.1.1", "phones", now), number, now).content)


def notifies(file: ConfigFile, now: datetime) -> list[Notify]:
    """The first NOTIFY went unanswered because the phone was off; the next try waits for its time or the phone."""
    common = {"phone": file.phone, "config_file": file, "created_at": now - SENT_AGO}
    return [
        Notify(**common, origin=NotifyOrigin.SAVE, state=NotifyState.UNANSWERED, next_at=now - SENT_AGO,
               first_sent_at=now - SENT_AGO, settled_at=now - SENT_AGO / 2),
        Notify(**common, origin=NotifyOrigin.AUTOMATIC, next_at=now + RETRY_IN,
               note="Waits for the next try, or until the phone is seen."),
    ]  # fmt: skip


def chunks(first: int, count: int) -> Iterator[range]:
    for start in range(first, first + count, CHUNK_ROWS):
        yield range(start, min(start + CHUNK_ROWS, first + count))


def arrange(
    stage: Stage, numbers: range, ours: str, interface: str, with_files: bool, finish: Callable[[bytes], bytes] = bytes
) -> list[ConfigFile]:
    """Some phones in one transaction, and their files, if they get any; `finish` has the last word on their bytes."""
    now = timezone.now()
    with transaction.atomic():
        phones = Phone.objects.bulk_create(phone_row(number, stage, ours, interface, now) for number in numbers)
        if stage is Stage.SEEN:
            return []
        Account.objects.bulk_create(
            row for phone, number in zip(phones, numbers, strict=True)
            for row in plan.account_rows(phone, draft(number).accounts)
        )  # fmt: skip
        if not with_files:
            return []
        files = [rendered(phone, number, now) for phone, number in zip(phones, numbers, strict=True)]
        for file in files:
            file.content = finish(file.content)
        ConfigFile.objects.bulk_create(files)
        SettingsLayer.objects.bulk_create(own_layer(file, now) for file in files)
        if stage is Stage.ASSIGNED:
            Notify.objects.bulk_create(row for file in files for row in notifies(file, now))
    return files


SHAPES: dict[str, Stage] = {
    "owed": Stage.ASSIGNED,
    "applied": Stage.APPLIED,
    "listed": Stage.APPLIED,
    "seen": Stage.SEEN,
}


def technician() -> str:
    """A superuser, and the key of a session in which he is signed in."""
    user, _ = User.objects.get_or_create(username="bench", is_superuser=True, is_staff=True)
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session.session_key


def main(words: list[str]) -> None:
    if words == ["technician"]:
        print(technician())
        return
    shape, first, count, ours, interface = words
    for numbers in chunks(int(first), int(count)):
        arrange(SHAPES[shape], numbers, ours, interface, with_files=shape != "listed")


if __name__ == "__main__":
    main(sys.argv[1:])
