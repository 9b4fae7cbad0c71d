"""Orders for many phones, in few words."""

from devices.choices import Stage
from devices.models import Phone
from provisioning.jobs import orders, runner
from provisioning.jobs.models import Job
from provisioning.models import Notify, NotifyKind
from tests import cast


def phones(count: int) -> list[Phone]:
    """Phones that have applied their files; nothing is owed."""
    made = [cast.seen(f"000B82{number:06X}", f"10.0.1.{number}") for number in range(1, count + 1)]
    for phone in made:
        cast.save(phone)
    Notify.objects.all().delete()
    Phone.objects.update(stage=Stage.APPLIED)
    return made


def phones_more(count: int) -> list[Phone]:
    """Further ones of whom nothing is owed."""
    made = [cast.seen(f"000B82AA{number:04X}", f"10.0.2.{number}") for number in range(1, count + 1)]
    for phone in made:
        cast.save(phone)
    Notify.objects.filter(phone__in=made).delete()
    return made


def ordered(kind: str, made: list[Phone], pace: float = 30, by: str = "tess") -> Job:
    return orders.start(kind, [(phone.pk, phone.source_host) for phone in made], by=by, pace_per_minute=pace)


def carried_out(job: Job) -> Job:
    runner.run.call(job.pk)
    job.refresh_from_db()
    return job


def restarts() -> list[Notify]:
    return list(Notify.objects.filter(kind=NotifyKind.REBOOT).order_by("next_at"))
