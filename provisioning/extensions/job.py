"""The job that brings phones after a change in the directory: each is saved as a technician would, at the job's pace.

It confirms no address: a phone is told only where it is known to be. A phone that was done is found unchanged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace

from devices.crypto import CannotDecrypt
from devices.inventory import VersionConflict
from devices.mac import colons
from devices.models import Phone
from provisioning import assignment, plan
from provisioning.extensions import following
from provisioning.extensions.following import Change
from provisioning.gxp.config import ConfigError
from provisioning.jobs import runner
from provisioning.jobs.chunks import Outcome, by_ids
from provisioning.jobs.kinds import FOLLOW
from provisioning.jobs.rerender import BUSY, OUR_FAULT, ROUNDS, UNREADABLE
from provisioning.models import Job, JobFailure

log = logging.getLogger(__name__)


def start(change: Change, phone_ids: Sequence[int], *, by: str, pace_per_minute: float) -> Job:
    """Order it for these phones. Raises JobError."""
    return runner.start(
        change.title,
        {"phones": list(phone_ids)},
        by=by,
        pace_per_minute=pace_per_minute,
        kind=FOLLOW,
        orders=asdict(change),
    )


def follow(job: Job, phone_ids: Sequence[int]) -> Outcome:
    """Change what of these phones follows; those of which nothing does are left alone.

    Whoever renames it again in between orders that for the phones that have this name already, and sees none of those
    that get it a moment later: so the directory is asked again at the end.
    """
    outcome, change = Outcome(), Change.read(job.orders)
    name = following.name_of(change)
    change = replace(change, name=change.was if name is None else name)
    try:
        secret = following.secret_of(change)
    except CannotDecrypt:
        outcome.failures = [JobFailure(job=job, phone_id=pk, message=UNREADABLE) for pk in phone_ids]
        return outcome
    for _ in range(ROUNDS):
        for phone_id in phone_ids:
            _one(job, change, secret, phone_id, outcome)
        name = following.name_of(change)
        if name is None or name == change.name:
            break
        secret, change = None, replace(change, was=change.name, name=name)
    return outcome


run_chunk = by_ids(follow)


def _one(job: Job, change: Change, secret: str | None, phone_id: int, outcome: Outcome) -> None:
    def failed(message: str, field: str = "") -> None:
        outcome.failures.append(JobFailure(job=job, phone_id=phone_id, field=field[:80], message=message[:300]))

    for _ in range(ROUNDS):
        phone = Phone.objects.filter(pk=phone_id).first()
        if phone is None or not phone.is_assigned:
            return
        try:
            outcome.changed += _saved(job, change, secret, phone)
        except VersionConflict:
            continue
        except ConfigError as error:
            for problem in error.problems:
                failed(problem.message, problem.field)
        except CannotDecrypt:
            failed(UNREADABLE)
        except assignment.AssignmentError as error:
            failed(str(error))
        except Exception:  # a fault of ours with one phone must not keep the others from it
            log.exception("%s: it cannot follow", colons(phone.mac))
            failed(OUR_FAULT)
        return
    failed(BUSY)


def _saved(job: Job, change: Change, secret: str | None, phone: Phone) -> bool:
    """Whether anything of it followed."""
    before = plan.draft_of(phone)
    after = following.applied(before, change, phone.site, secret, change.own.get(str(phone.pk), ()))
    if after == before:
        return False
    # A label may follow alone: then the phone was given no secret, and its timeline must not say so.
    is_given = [one.password for one in before.accounts] != [one.password for one in after.accounts]
    by, host, given = job.created_by, phone.source_host, [change.number] if is_given else []
    kept = [one.number for one in after.accounts if not is_given or one.user_id != change.number]
    assignment.save(
        phone, after, by=by, seen_host=host, why=change.title, attended=False, job=job, given=given, kept=kept
    )
    return True
