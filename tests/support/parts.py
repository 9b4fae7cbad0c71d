"""Parts of the machine that a test needs: programs, rights.

Where CI is set a missing part fails the test; on a developer's machine it skips it, and says what to install.
"""

import os
import shutil
from typing import NoReturn

import pytest

PACKAGES = {
    "chromium": "chromium",
    "curl": "curl",
    "docker-compose": "docker-compose",
    "faketime": "faketime",
    "ip": "iproute2",
    "kamailio": "kamailio",
    "nginx": "nginx-light",
    "openssl": "openssl",
    "redis-server": "redis-server",
    "setpriv": "util-linux",
    "sipp": "sip-tester",
    "ss": "iproute2",
    "systemd-analyze": "systemd",
    "unshare": "util-linux",
    "xmllint": "libxml2-utils",
}
SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def require(tool: str) -> str:
    """The full path of a program."""
    path = shutil.which(tool, path=SEARCH_PATH)
    if path is None:
        missing(f"{tool} is not installed: apt-get install {PACKAGES.get(tool, tool)}")
    return path


def require_root() -> None:
    """Network namespaces are made as root."""
    if os.geteuid() != 0:
        missing("this test makes network namespaces: run the suite as root")


def missing(reason: str) -> NoReturn:
    """Fail where CI is set, else skip."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
