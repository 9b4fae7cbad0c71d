"""Imports of phones, from a table to what came of it, in few words."""

from devices.models import Phone
from provisioning import outbox, plan
from provisioning.gxp.document import values
from provisioning.importing import applying, planning, undoing
from provisioning.importing.models import PhoneImport
from provisioning.jobs import runner
from provisioning.jobs.models import Job, JobState
from tests import cast

NEW = "000B82000E10"
HEAD = "mac,model,extension,password,name,sip_server\n"


def preview(text: str, name: str = "phones.csv") -> PhoneImport:
    return planning.read_file(name, text.encode(), by="tess")


def run(job: Job) -> Job:
    runner.run.call(job.pk)
    job.refresh_from_db()
    return job


def taken(job: Job) -> Job:
    """A worker has it in hand."""
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, worker="me")
    job.refresh_from_db()
    return job


def ends(job: Job) -> Job:
    """Another worker takes it up."""
    Job.objects.filter(pk=job.pk).update(state=JobState.WAITING)
    return run(job)


def applied(text: str) -> PhoneImport:
    one = preview(text)
    assert not one.faulty, faults(one)
    run(applying.apply(one, by="tess"))
    one.refresh_from_db()
    return one


def undone(one: PhoneImport) -> PhoneImport:
    run(undoing.undo(one, by="theo"))
    one.refresh_from_db()
    return one


def faults(one: PhoneImport) -> dict[int, list[str]]:
    rows = one.rows.filter(outcome="faulty")
    return {row.number: [f"{column}: {words}" for column, words in row.shown["faults"]] for row in rows}


def said(phone: Phone) -> dict[str, str]:
    return values(bytes(outbox.current_file(phone.pk).content))


def snapshot() -> dict:
    """Everything of the phones that an import may touch."""
    return {
        phone.mac: (
            phone.stage, phone.stage_reason, phone.stage_at, phone.site, plan.draft_of(phone).in_order(),
            planning.templates_of([phone])[phone.pk],
            list(phone.config_files.values_list("pk", flat=True)),
        )
        for phone in Phone.objects.all()
    }  # fmt: skip


def many(count: int) -> list[Phone]:
    made = [cast.seen(f"000B82{number:06X}", f"10.0.1.{number}") for number in range(1, count + 1)]
    for phone in made:
        cast.save(phone)
    return made


def renamed(phones, name="Theo") -> str:
    return "mac,name\n" + "".join(f"{phone.mac},{name}\n" for phone in phones)
