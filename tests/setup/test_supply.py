"""Supply: what is installed is what was locked, byte for byte, and what is known of it is said."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from gspnp.env import BASE_DIR

PIN = re.compile(r"([a-z0-9][a-z0-9-]*)==(\S+?)(?: ; [^\\]+?)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")


def locked(name: str) -> dict[str, tuple[str, set[str]]]:
    """Version and hashes of each package; a line that is nothing of the kind fails."""
    found: dict[str, tuple[str, set[str]]] = {}
    package = ""
    for line in (BASE_DIR / name).read_text(encoding="utf-8").splitlines():
        if (pin := PIN.fullmatch(line)) is not None:
            package = pin[1]
            assert package not in found, line
            found[package] = (pin[2], set())
        elif HASH.fullmatch(line):
            found[package][1].add(line.strip(" \\"))
        else:
            assert line.lstrip().startswith("#"), line
    return found


def wanted(name: str) -> dict[str, str]:
    """What people chose: each pinned to one version."""
    lines = (BASE_DIR / name).read_text(encoding="utf-8").splitlines()
    chosen = [line for line in lines if line and not line.startswith(("#", "-r "))]
    pairs = [re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[a-z,]+\])?==(\S+)", line) for line in chosen]
    assert all(pairs), chosen
    return {re.sub(r"[-_.]+", "-", pair[1]).lower(): pair[2] for pair in pairs}


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_every_package_is_pinned_with_hashes_and_the_lock_holds_what_was_chosen(name):
    lock = locked(f"{name}.txt")
    assert all(hashes for _, hashes in lock.values())
    chosen = wanted(f"{name}.in")
    assert chosen and chosen == {one: lock[one][0] for one in chosen}, "run make lock"


def test_the_tests_run_with_exactly_what_is_shipped():
    shipped, tested = locked("requirements.txt"), locked("requirements-dev.txt")
    assert shipped == {name: tested[name] for name in shipped}


def test_the_locks_hold_for_every_python_that_we_promise():
    """Of 3.11, its first releases need a package more, and Debian 12 has one of them."""
    text = (BASE_DIR / "requirements.txt").read_text(encoding="utf-8")
    assert re.search(r"^async-timeout==\S+ ; python_full_version < '3\.11\.3' ", text, re.MULTILINE)


def wheel(folder, word: str) -> bytes:
    """The smallest package that pip installs."""
    info = "tiny-1.0.dist-info"
    files = {
        "tiny.py": f"WORD = {word!r}\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")))
    return path.read_bytes()


def test_a_package_that_was_changed_on_the_way_is_not_installed(tmp_path):
    """The whole of .ci/venv, in a project of its own, with an index of one package."""
    (tmp_path / ".ci").mkdir()
    shutil.copy2(BASE_DIR / ".ci" / "venv", tmp_path / ".ci" / "venv")
    (tmp_path / "Makefile").touch()
    index = tmp_path / "index"
    index.mkdir()
    good = wheel(index, "good")
    pinned = f"tiny==1.0 \\\n    --hash=sha256:{hashlib.sha256(good).hexdigest()}\n"
    (tmp_path / "requirements.txt").write_text(pinned)
    environment = os.environ | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}

    def build() -> subprocess.CompletedProcess:
        command = [".ci/venv", "requirements.txt"]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)

    python = tmp_path / ".venv" / "bin" / "python"
    wheel(index, "evil")
    refused = build()
    assert refused.returncode != 0 and "DO NOT MATCH THE HASHES" in refused.stderr
    assert subprocess.run([python, "-c", "import tiny"], capture_output=True).returncode != 0
    (index / "tiny-1.0-py3-none-any.whl").write_bytes(good)
    assert build().returncode == 0
    said = subprocess.run([python, "-c", "import tiny; print(tiny.WORD)"], capture_output=True, text=True)
    assert said.stdout == "good\n"
    (tmp_path / ".venv" / "hashed").unlink()  # an environment of before the hashes is not trusted
    (tmp_path / "requirements.txt").write_text("tiny==1.0\n")
    unhashed = build()
    assert unhashed.returncode != 0 and "require-hashes" in unhashed.stderr


# --- known vulnerabilities: what pip-audit says, told rightly ---------------------------------------------------------


SOUND = {"name": "sound", "version": "1", "vulns": []}
HOLE = {"name": "bad", "version": "1", "vulns": [{"id": "CVE-1-2", "fix_versions": ["2"]}]}
UNHEARD = {"name": "unheard", "skip_reason": "Dependency not found on PyPI"}


def audit(tmp_path, packages: list | None = None, error: str = "", accepted: str | None = None):
    """Run it with a pip-audit that answers this."""
    answer = "" if packages is None else json.dumps({"dependencies": packages})
    code = f"import sys\nprint({answer!r})\nprint({error!r}, file=sys.stderr)\n"
    (tmp_path / "pip_audit.py").write_text(code + f"open({str(tmp_path / 'asked')!r}, 'w').write(' '.join(sys.argv))\n")
    script = tmp_path / "audit.py"
    shutil.copy2(BASE_DIR / ".ci" / "audit.py", script)
    if accepted is not None:
        (tmp_path / "audit-accepted").write_text(accepted)
    return subprocess.run(
        [sys.executable, str(script), "requirements.txt"], env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_a_known_vulnerability_fails_and_is_named_with_the_version_that_mends_it(tmp_path):
    done = audit(tmp_path, [SOUND, HOLE])
    assert done.returncode == 1
    assert "bad 1 has CVE-1-2; mended in 2" in done.stderr


def test_what_the_index_says_nothing_about_is_not_called_sound(tmp_path):
    some = audit(tmp_path, [SOUND, UNHEARD])
    assert some.returncode == 0 and "not checked" in some.stderr and "unheard" in some.stderr
    assert "1 packages looked up" in some.stdout
    none = audit(tmp_path, [UNHEARD])
    assert none.returncode == 0 and "SKIPPED, nothing was checked" in none.stderr and not none.stdout


def test_an_index_that_cannot_be_reached_is_said_loudly(tmp_path):
    done = audit(tmp_path, error="requests.exceptions.ConnectionError: Max retries exceeded")
    assert done.returncode == 0 and "SKIPPED, nothing was checked" in done.stderr


def test_an_audit_that_breaks_for_another_reason_fails(tmp_path):
    done = audit(tmp_path, error="ERROR: requirements.txt is nonsense")
    assert done.returncode == 1 and "nonsense" in done.stderr


def test_a_vulnerability_is_accepted_only_with_a_reason(tmp_path):
    why = "# what we live with\nCVE-1-2 only the server part, which we do not use\n"
    assert audit(tmp_path, [SOUND], accepted=why).returncode == 0
    assert "--ignore-vuln CVE-1-2" in (tmp_path / "asked").read_text()
    refused = audit(tmp_path, [SOUND], accepted="CVE-1-2\n")
    assert refused.returncode == 1 and "CVE-1-2" in refused.stderr


# --- the bill of materials --------------------------------------------------------------------------------------------


def test_the_bill_of_materials_names_every_package_with_its_hashes_and_is_the_same_each_time(tmp_path):
    texts = []
    for name in ("one.json", "other.json"):
        command = [sys.executable, BASE_DIR / ".ci" / "sbom.py", tmp_path / name]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1]
    bill = json.loads(texts[0])
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    found = {
        one["name"]: (
            one["version"],
            {f"--hash=sha256:{said['content']}" for said in one["externalReferences"][0]["hashes"]},
        )
        for one in bill["components"]
    }
    assert found == locked("requirements.txt")
    refs = {one["bom-ref"] for one in bill["components"]} | {"gspnp"}
    assert {one["ref"] for one in bill["dependencies"]} == refs
    assert all(set(one["dependsOn"]) <= refs for one in bill["dependencies"])
    needs = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    assert len(needs["gspnp"]) == len(wanted("requirements.in"))
