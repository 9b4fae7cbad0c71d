"""Jobs that nobody asked for, which gspnp starts itself; and what a phone's own page says of a job.

A job's title speaks of many phones, its page shows them; a timeline speaks of one.
"""

from __future__ import annotations

from devices.models import Phone
from devices.places import site_words
from provisioning.jobs.models import Job

BY = "gspnp"
MOVED = "Phones heard at another site"
FIRMWARE = "Next step of firmware"


def why(job: Job, phone: Phone) -> str:
    """Why this phone gets another version of its file, as its history says it."""
    return f"Heard {site_words(phone.heard_site)}" if job.title == MOVED else job.title


def words(job: Job, phone: Phone) -> str:
    """The same for its timeline, with whoever asked for it."""
    if job.created_by == BY:
        return f"{why(job, phone)}: its file is made anew."
    return f"{why(job, phone)}, by {job.created_by}."
