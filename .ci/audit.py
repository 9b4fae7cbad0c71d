#!/usr/bin/env python3
"""Hold every locked package against the published vulnerabilities: `.ci/audit.py requirements-dev.txt`.

Asks the package index through pip-audit, which counts a package that the index says nothing about as sound. This does
not: what could not be looked up is named. Exit code 1 for a known vulnerability, 0 otherwise, also if the index cannot
be reached: then it says so loudly, because nothing was checked. `.ci/audit-accepted` may name, one a line, an
identifier and why we live with it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ACCEPTED = Path(__file__).with_name("audit-accepted")
SECONDS = 300
RULE = "!" * 72


def accepted() -> list[str]:
    """The identifiers that somebody gave a reason for. Raises SystemExit for one without a reason."""
    found = []
    for line in ACCEPTED.read_text(encoding="utf-8").splitlines() if ACCEPTED.exists() else []:
        if line.strip() and not line.startswith("#"):
            name, _, why = line.partition(" ")
            if not why.strip():
                raise SystemExit(f"{ACCEPTED.name}: write behind {name} why we live with it.")
            found.append(name)
    return found


def ask(requirements: str) -> tuple[list[dict] | None, str]:
    """What pip-audit says of each package; None if it came to no answer, with its words."""
    command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--requirement", requirements]
    command += ["--format", "json", "--progress-spinner", "off"]
    for name in accepted():
        command += ["--ignore-vuln", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {SECONDS} seconds"
    try:
        return json.loads(done.stdout)["dependencies"], ""
    except (ValueError, KeyError, TypeError):
        return None, done.stderr.strip() or f"pip-audit ended with {done.returncode} and said nothing"


def is_away(words: str) -> bool:
    """Is that why: the index cannot be reached? Anything else that goes wrong is a failure."""
    signs = ("ConnectionError", "Connection aborted", "Max retries", "ServiceError", "Timeout", "no answer")
    return any(sign in words for sign in signs)


def loudly(words: str) -> None:
    print(f"{RULE}\naudit: {words}\n{RULE}", file=sys.stderr)


def main(arguments: Sequence[str]) -> int:
    packages, words = ask(arguments[0])
    if packages is None:
        last = words.splitlines()[-1]
        if is_away(words):
            loudly(f"SKIPPED, nothing was checked: the package index cannot be reached from here ({last[:200]})")
            return 0
        print(words, file=sys.stderr)
        return 1
    unknown = sorted(one["name"] for one in packages if "skip_reason" in one)
    if unknown and len(unknown) == len(packages):
        loudly("SKIPPED, nothing was checked: the package index that is reached from here knows no vulnerabilities")
        return 0
    if unknown:
        loudly(f"not checked, because the index says nothing about them: {', '.join(unknown)}")
    bad = [(one, hole) for one in packages for hole in one.get("vulns", ())]
    for one, hole in bad:
        mended = ", ".join(hole.get("fix_versions", ())) or "no version yet"
        print(f"audit: {one['name']} {one['version']} has {hole['id']}; mended in {mended}", file=sys.stderr)
    print(f"audit: {len(packages) - len(unknown)} packages looked up, {len(bad)} known vulnerabilities")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
