"""The list of phones among 100,000, with ten million events: `python -m tests.bench.console_list`.

Milliseconds of the server for one answer, from the request to the bytes, in this process: middleware, session, every
query, templates; without the network and the browser. The phones are mixed: four fifths applied, most of these online,
some ignored, some with an alarm or stopped on their way; seven models, four sites, an account each, and a hundred
events of the last hundred days. *worst* is the slowest of the repeats that follow one that nobody counted.
"""

import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

PHONES = 100_000
EVENTS_EACH = 100
AT_ONCE = 2_000
REPEATS = 7
CHILD = "--child"
GOAL_MS = 150.0
MODELS = ("GXP1610", "GXP1615", "GXP1620", "GXP1625", "GXP1628", "GXP1630", "GXP1780")
FIRMWARE = ("1.0.4.88", "1.0.4.152", "1.0.7.6", "1.0.7.13", "1.0.7.33", "1.0.7.64")
SITES = ("", "berlin", "lyon", "wien")
NAMES = ("Ada", "Bela", "Cem", "Dora", "Emil", "Finja", "Gero", "Hilde", "Ivo", "Jana")
STAGES = (
    ("applied", 80), ("seen", 8), ("assigned", 3), ("notified", 2), ("fetched", 1), ("ignored", 5), ("retired", 1),
)  # fmt: skip
LAST = "page=999999"
SORTS = (
    "stage", "-stage", "mac", "-mac", "vendor", "model", "-model", "firmware", "address", "extension", "-extension",
    "seen", "-seen", "name", "-name", "site", "reach",
)  # fmt: skip
ASKED = {
    "first page": "",
    "page 1000": "page=1000",
    "last page": LAST,
    "stage applied": "stage=applied",
    "stage applied, last": f"stage=applied&{LAST}",
    "stage seen": "stage=seen",
    "needs attention": "stage=attention",
    "online": "reach=online",
    "offline": "reach=offline",
    "search: part of a MAC": "q=01%3A86%3A9",
    "search: whole MAC": "q=00-0b-82-01-86-9f",
    "search: extension": "q=54321",
    "search: name": "q=hilde",
    "search: model": "q=gxp1628",
    "search: address": "q=10.1.77",
    "search: nothing": "q=nosuchphone",
    "search: name, last": f"q=hilde&{LAST}",
    **{f"sort {name}": f"sort={name}" for name in SORTS},
    "sort extension, page 1000": "sort=extension&page=1000",
    "sort seen, last": f"sort=-seen&{LAST}",
    "model": "model=GXP1628",
    "firmware": "firmware=1.0.7.6",
    "site": "site=lyon",
    "model, site, stage": "model=GXP1628&site=lyon&stage=applied",
}  # fmt: skip


def child() -> None:
    """Measure with the database of DATABASE_URL; prints one JSON line."""
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.test import Client

    call_command("migrate", verbosity=0)
    if not User.objects.exists():
        fill()
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.get_or_create(username="bench", is_superuser=True, is_staff=True)[0])
    gc.collect()
    gc.freeze()
    print(json.dumps({name: _measure(client, query) for name, query in ASKED.items()}))


def _measure(client: Any, query: str) -> list[float]:
    taken = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        answer = client.get(f"/?{query}")
        taken.append(1000 * (time.perf_counter() - began))
        assert answer.status_code == 200, answer.status_code
    return taken[1:]


def fill() -> None:
    """The phones and their accounts, as rows: nobody's way is gone here."""
    from django.db import connection
    from django.utils import timezone

    from devices.models import Account, Phone

    chance, now = random.Random(7), timezone.now()
    stages, weights = zip(*STAGES, strict=True)
    for first in range(0, PHONES, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, PHONES))
        drawn = chance.choices(stages, weights, k=len(numbers))
        phones = Phone.objects.bulk_create(
            Phone(**_phone(number, stage, chance, now)) for number, stage in zip(numbers, drawn, strict=True)
        )
        Account.objects.bulk_create(_accounts(phones, chance))
    _happen(now)
    if connection.vendor == "postgresql":  # which does so by itself, some time later; SQLite never does
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")


def _happen(now: Any) -> None:
    """One event of each phone a day, the oldest day first, as they would have come."""
    from django.db import connection

    statement = (
        "INSERT INTO devices_liveevent (phone_id, mac, kind, stage, text, at)"
        " SELECT id, mac, 'notify', stage, 'NOTIFY sent to 10.0.0.1:5060.', %s FROM devices_phone ORDER BY id"
    )
    for days in range(EVENTS_EACH, 0, -1):
        with connection.cursor() as cursor:
            cursor.execute(statement, [connection.ops.adapt_datetimefield_value(now - timedelta(days=days))])


def _phone(number: int, stage: str, chance: random.Random, now: Any) -> dict[str, Any]:
    on_its_way = stage in ("applied", "notified", "fetched")
    seen = now - timedelta(seconds=chance.randrange(80_000_000))
    online = chance.random() < 0.95 if stage == "applied" else None
    return {
        "mac": f"000B82{number:06X}",
        "vendor": "snom" if stage == "ignored" else "Grandstream",
        "model": "snom720" if stage == "ignored" else chance.choice(MODELS),
        "firmware": chance.choice(FIRMWARE),
        "site": chance.choice(SITES),
        "stage": stage,
        "stage_reason": "It did not answer." if on_its_way and chance.random() < 0.01 else "",
        "stage_at": seen,
        "version": int(on_its_way),
        "source_host": f"10.{number // 62_500}.{number // 250 % 250}.{number % 250}",
        "interface": "eth0",
        "local_host": "10.0.0.1",
        "alarm": "It now claims 10.9.9.9." if chance.random() < 0.001 else "",
        "neighbour": "mismatch" if chance.random() < 0.001 else "match",
        "online": online,
        "online_at": None if online is None else seen,
        "rtt_ms": chance.random() * 20 if online else None,
        "first_seen_at": seen,
        "last_seen_at": seen + timedelta(seconds=chance.randrange(60) if online is False else 0),
    }


def _accounts(phones: Any, chance: random.Random) -> Iterator[Any]:
    from devices.models import Account

    for phone in phones:
        if phone.stage not in ("seen", "ignored"):
            number = int(phone.mac[6:], 16)
            for place in (1, 2) if number % 10 == 0 else (1,):
                name = f"{chance.choice(NAMES)} {number}"
                yield Account(
                    phone=phone, number=place, sip_server="pbx", user_id=str(1000 + number), display_name=name
                )


def _run(url: str) -> dict[str, list[float]]:
    environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "gspnp.settings"}
    done = subprocess.run([sys.executable, "-m", "tests.bench.console_list", CHILD], env=environment, check=True,
                          stdout=subprocess.PIPE, text=True)  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    from tests.support import environment  # noqa: F401  # the developer's settings are hidden
    from tests.support.servers import running

    with running() as server, tempfile.TemporaryDirectory(prefix="gspnp-bench-") as folder:
        results = {"SQLite": _run(f"sqlite:///{Path(folder, 'list.sqlite3')}"), "PostgreSQL": _run(server.migrated())}
    print(f"{'ms':28}" + "".join(f"{name:>12}{'worst':>8}" for name in results) + f"{'goal':>8}")
    for name in ASKED:
        figures = "".join(f"{statistics.median(run[name]):12.1f}{max(run[name]):8.1f}" for run in results.values())
        print(f"{name:28}{figures}" + (f"{GOAL_MS:8.0f}" if name == "first page" else ""))
    return 0


if __name__ == "__main__":
    if CHILD in sys.argv:
        child()
    else:
        sys.exit(main())
