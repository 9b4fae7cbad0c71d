"""What the database says of all phones, for metrics: a few counts, each answered from an index alone."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Count
from prometheus_client.core import GaugeMetricFamily, Metric

from devices.choices import AlarmKind, Stage
from devices.metrics import gauge
from devices.models import Alarm, Phone


def of_phones() -> Iterable[Metric]:
    """How many are at each stage, how many answer, who has stopped on the way; and open alarms."""
    stages, online = dict.fromkeys(map(str, Stage), 0), {"online": 0, "offline": 0, "unknown": 0}
    counted = Phone.objects.order_by().values_list("stage", "online").annotate(count=Count("pk"))
    for stage, answers, count in counted:
        stages[stage] = stages.get(stage, 0) + count
        online["unknown" if answers is None else "online" if answers else "offline"] += count
    yield gauge("gspnp_phones", "Phones by stage.", stages, "stage")
    yield gauge("gspnp_phones_reached", "Phones by whether they answer.", online, "reach")
    stopped = Phone.objects.exclude(stage_reason="").order_by().values_list("stage").annotate(count=Count("pk"))
    words = "Phones that say why they have not gone on, by stage."
    yield gauge("gspnp_phones_stopped", words, dict.fromkeys(map(str, Stage), 0) | dict(stopped), "stage")
    with_alarm = Phone.objects.exclude(alarm="").count()
    yield GaugeMetricFamily("gspnp_phones_with_alarm", "Phones with an alarm of their own.", with_alarm)
    opened = Alarm.objects.filter(dismissed_at=None).order_by().values_list("kind").annotate(count=Count("pk"))
    alarms = dict.fromkeys(map(str, AlarmKind), 0) | dict(opened)
    yield gauge("gspnp_alarms_open", "Alarms that nobody has dismissed, by kind.", alarms, "kind")
