"""How long the console's own rows are kept, and those of the packages below it: rules for devices/retention.py."""

from datetime import datetime, timedelta

from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.db.models import QuerySet

from devices import retention
from devices.retention import Rule, older
from gspnp.console.models import Change
from sipmcast.models import Transcript

TRIES_HOURS = 24  # beyond the lock itself, for whoever looks at what it was. Our choice


def _over_sessions(now: datetime) -> QuerySet:
    return Session.objects.filter(expire_date__lt=now)


def _old_tries(now: datetime) -> QuerySet:
    """Wrong passwords that lock nobody any more. Names and addresses are a stranger's choice: there may be millions."""
    kept = timedelta(minutes=settings.GSPNP_LOGIN_LOCK_MINUTES, hours=TRIES_HOURS)
    return AccessAttempt.objects.filter(attempt_time__lt=now - kept)


retention.register(
    Rule("transcripts", older(Transcript, "at", "GSPNP_KEEP_TRANSCRIPTS_DAYS"), walk=Transcript),
    Rule("changes", older(Change, "at", "GSPNP_CHANGES_DAYS"), order=("at",)),
    Rule("entries of the administration", older(LogEntry, "action_time", "GSPNP_CHANGES_DAYS"), walk=LogEntry),
    Rule("sessions", _over_sessions, order=("expire_date",)),
    Rule("tries of passwords", _old_tries, walk=AccessAttempt),
    # Switched off in settings.py; an older installation may have some.
    Rule("sign-ins of axes", older(AccessLog, "attempt_time", "GSPNP_CHANGES_DAYS"), walk=AccessLog),
    Rule("failures of axes", older(AccessFailureLog, "attempt_time", "GSPNP_CHANGES_DAYS"), walk=AccessFailureLog),
)
