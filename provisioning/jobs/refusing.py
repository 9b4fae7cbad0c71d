"""Jobs of a kind that this version of gspnp does not know, of a newer one, say: nothing is done, and it says so."""

from __future__ import annotations

from provisioning.jobs.kinds import Next
from provisioning.jobs.models import Job, JobState

UNKNOWN = "This version of gspnp does not know jobs of the kind {}; nothing was done. Install the version that made it."


def run_chunk(job: Job) -> Next:
    """It has failed."""
    return Next(ended=JobState.FAILED, words=UNKNOWN.format(job.kind))
