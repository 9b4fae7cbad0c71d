"""A phone of the product's own simulator, as a process of its own on a host of its own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.netns import Host
from tests.support.site import ROOT, Site


def started(site: Site, host: Host, mac: str, *more: str) -> subprocess.Popen[str]:
    """It is switched on; its story comes as JSON when it ends. Whoever starts it ends it."""
    return subprocess.Popen(
        host.command(
            sys.executable, "-m", "sipmcast.simulator", "--mac", mac, "--interface", host.address, "--json", *more
        ),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, env=site.environment,
    )  # fmt: skip


@contextmanager
def ending(process: subprocess.Popen) -> Iterator[None]:
    """It does not outlive its test."""
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def simulated(site: Site, host: Host, mac: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """The same for as long as it is needed."""
    process = started(site, host, mac, *more)
    with ending(process):
        yield process
