#!/usr/bin/env python3
"""Write the software bill of materials of what `make run` installs: `.ci/sbom.py [FILE]`, default sbom.cdx.json.

CycloneDX 1.6, from requirements.txt (versions, hashes) and from what is installed (licences, who needs whom). The same
lock gives the same bytes: no time and no random number.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.txt"
LINE = re.compile(r"([a-z0-9][a-z0-9-]*)==([^\s;]+)(?: ; [^\\]*)?(?: \\)?")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
NEEDS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
NAME = "gspnp"


def locked(text: str) -> dict[str, tuple[str, list[str]]]:
    """Version and hashes of each package of a lock, by name."""
    found: dict[str, tuple[str, list[str]]] = {}
    name = ""
    for line in text.splitlines():
        if (pinned := LINE.fullmatch(line)) is not None:
            name = pinned[1]
            found[name] = (pinned[2], [])
        elif (seen := HASH.search(line)) is not None:
            found[name][1].append(seen[1])
    return found


def normal(name: str) -> str:
    """As the index spells it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def component(name: str, version: str, hashes: list[str]) -> dict:
    purl = f"pkg:pypi/{name}@{version}"
    files = {
        "type": "distribution",
        "url": purl,
        "hashes": [{"alg": "SHA-256", "content": one} for one in hashes],
    }
    made = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "scope": "required"}
    return made | licences(name, version) | {"externalReferences": [files]}


def installed(name: str, version: str) -> Distribution | None:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    return found if found.version == version else None


def licences(name: str, version: str) -> dict:
    """What the package says of its licence; nothing if it is not installed here in that version."""
    found = installed(name, version)
    if found is None:
        return {}
    if found.metadata.get("License-Expression"):
        return {"licenses": [{"expression": found.metadata["License-Expression"]}]}
    kinds = [kind for kind in found.metadata.get_all("Classifier") or () if kind.startswith("License ::")]
    words = [kind.rpartition(":: ")[2] for kind in kinds]
    said = (found.metadata.get("License") or "").strip().splitlines()
    words = words or [line[:80] for line in said[:1] if line and line != "UNKNOWN"]
    return {"licenses": [{"license": {"name": word}} for word in words]} if words else {}


def needs(name: str, version: str, known: set[str]) -> list[str]:
    """Which of the locked packages it needs, as far as it is installed here."""
    found = installed(name, version)
    said = [NEEDS.match(line) for line in (found.requires or ())] if found is not None else []
    return sorted({normal(one[0]) for one in said if one is not None} & known - {name})


def bill(lock: dict[str, tuple[str, list[str]]], direct: set[str]) -> dict:
    """The whole document."""
    refs = {name: f"pkg:pypi/{name}@{version}" for name, (version, _) in lock.items()}
    edges = [{"ref": NAME, "dependsOn": [refs[name] for name in sorted(direct & lock.keys())]}]
    for name, (version, _) in sorted(lock.items()):
        edges.append({"ref": refs[name], "dependsOn": [refs[one] for one in needs(name, version, set(lock))]})
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": NAME, "name": NAME}},
        "components": [component(name, *lock[name]) for name in sorted(lock)],
        "dependencies": edges,
    }


def main(arguments: list[str]) -> None:
    path = Path(arguments[0]) if arguments else ROOT / "sbom.cdx.json"
    lines = (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    direct = {normal(seen[0]) for line in lines if (seen := NEEDS.match(line)) is not None}
    made = bill(locked(LOCK.read_text(encoding="utf-8")), direct)
    path.write_text(json.dumps(made, indent=2, sort_keys=False) + "\n", encoding="utf-8")
    print(f"{path}: {len(made['components'])} packages")


if __name__ == "__main__":
    main(sys.argv[1:])
