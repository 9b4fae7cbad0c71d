"""Phones that were heard at another site get the settings and the phonebook of that one, by a job.

The inventory notes the move when it hears the phone; the file is made here, because nobody waits for it there.
"""

from django.db import transaction

from devices import inventory
from devices.models import Phone
from provisioning.jobs import runner

JOB = "Phones heard at another site"
AT_ONCE = 500


def follow() -> int:
    """Start a job for phones whose file is still of the site where they stood before; how many they are.

    Of several workers one starts it, and a worker that dies meanwhile leaves both to the next round.
    """
    if not Phone.objects.filter(site_moved_at__isnull=False).exists():
        return 0
    with transaction.atomic():
        moved = inventory.take_moved(AT_ONCE)
        if moved:
            runner.start(JOB, {"phones": moved}, by="gspnp")
    return len(moved)
