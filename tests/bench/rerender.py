"""A job that renders many phones anew, in a process of its own: `python -m tests.bench.rerender FIRST COUNT`.

Each phone is saved with another caller name by the use case that everybody calls.
Prints how many it did; SIGTERM ends it early.
"""

import signal
import sys
from dataclasses import replace

import django

django.setup()

from devices.models import Phone  # noqa: E402
from provisioning import assignment, plan  # noqa: E402
from tests.bench.ground import mac_of  # noqa: E402


def rerender(mac: str) -> None:
    """What a change of a template does to one phone."""
    phone = Phone.objects.get(mac=mac)
    stored = plan.draft_of(phone)
    accounts = tuple(replace(account, display_name=f"{account.display_name} new") for account in stored.accounts)
    assignment.save(phone, plan.Draft(accounts, stored.keys), by="bench", seen_host=phone.source_host)


def main(first: int, count: int) -> None:
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    done = 0
    print("begins", flush=True)
    for number in range(first, first + count):
        if ended:
            break
        rerender(mac_of(number))
        done += 1
    print(done)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
