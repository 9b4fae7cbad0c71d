"""Many simulated phones, and the command."""

import asyncio
import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sipmcast.simulator import Fleet, Options, OptionsError, Result, run
from sipmcast.simulator.faults import FAULTS
from sipmcast.simulator.fleet import setups
from tests.support.small_pbx import MAC, STEADY, Pbx, document, timings

ROOT = Path(__file__).resolve().parents[2]


def open_pbx(pbx: Pbx) -> None:
    """Serve every phone of a fleet the same file, which names no MAC."""
    body = document(pbx.host, mac=None)
    pbx.offer(body, first="/first/cfg.xml", steady=f"{STEADY}/cfg.xml")
    pbx.notified_boots = set()


def test_a_burst_of_phones_of_all_models_gets_through_in_one_process() -> None:
    count = 60

    async def scene() -> tuple[Pbx, list[Result]]:
        async with Pbx() as pbx:
            open_pbx(pbx)
            heard = pbx._subscribed
            seen: set[tuple[str, int]] = set()

            def notify_each(text: str, source: tuple[str, int]) -> None:
                heard(text, source)
                if source not in seen:
                    seen.add(source)
                    pbx.sip.sendto(pbx.notify(source, source[1]).encode(), source)

            asyncio.get_running_loop().remove_reader(pbx.group)
            asyncio.get_running_loop().add_reader(pbx.group, pbx._drain, pbx.group, notify_each)
            options = Options(count=count, model="all", mac=MAC, interface="lo", port=pbx.port, seed=1)
            phones = [dataclasses.replace(one, timings=timings(pnp_wait=0.5)) for one in setups(options)]
            return pbx, await Fleet(phones).live()

    pbx, results = asyncio.run(scene())
    assert {(one.outcome, one.reason, one.boots) for one in results} == {("through", "", 2)}
    assert [one.mac for one in results] == [f"{int(MAC, 16) + number:012X}" for number in range(count)]
    assert len({one.model for one in results}) == 6
    assert len({one.contact for one in results}) == count


def test_macs_follow_from_the_seed_and_stay_under_the_vendors_prefix() -> None:
    def macs(seed: int) -> list[str]:
        return [one.mac for one in setups(Options(count=5, interface="127.0.0.1", seed=seed))]

    assert macs(3) == macs(3)
    assert macs(3) != macs(4)
    assert all(mac.startswith("000B82") for mac in macs(3))


@pytest.mark.parametrize(
    "chosen",
    [
        {"count": 0}, {"mac": "12"}, {"model": "a b"}, {"firmware": "1\r\n"}, {"loss": 1.5},
        {"faults": "none"}, {"group": "10.0.0.1"}, {"stored_path": "ftp://x"},
        {"pnp_wait": -1}, {"port": 0}, {"stay": -1}, {"ca": "/nowhere.pem"}, {"ca": "/dev/null"},
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_is_refused(chosen: dict[str, object]) -> None:
    with pytest.raises(OptionsError):
        Options.from_mapping(chosen)


def test_an_interface_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(OptionsError, match="no such interface"):
        setups(Options(interface="nope9"))


def test_the_report_is_json_and_the_exit_code_tells_a_failure() -> None:
    out, err = io.StringIO(), io.StringIO()
    options = Options(
        count=2, interface="127.0.0.1", port=9, wait_assign=0.1, pnp_wait=0.0, timeout=0.3, seed=1, json=True
    )
    assert run(options, out, err) == 1
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["outcome"] for line in lines] == ["failed", "failed"]
    assert {"mac", "model", "firmware", "boots", "stage", "downloads", "reason", "timings"} <= set(lines[0])
    assert "2/2 phones done: 0 through, 2 failed" in err.getvalue()


def test_sigterm_ends_a_run_in_order() -> None:
    command = [sys.executable, "-m", "sipmcast.simulator", "--interface", "lo", "--port", "9", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the first line of progress: it is alive
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert json.loads(out)["outcome"] == "stopped"
    assert "Traceback" not in err


def test_every_fault_is_in_the_help_text() -> None:
    command = [sys.executable, "-m", "sipmcast.simulator", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    flat = re.sub(r"\s+", "", text)
    assert all(name in flat for name in FAULTS)


def test_the_simulator_imports_nothing_of_the_project_and_nothing_but_the_standard_library() -> None:
    allowed = sys.stdlib_module_names | {"sipmcast"}
    for path in sorted((ROOT / "sipmcast" / "simulator").glob("*.py")):
        for line in path.read_text().splitlines():
            if match := re.match(r"\s*(?:from|import) ([a-z_0-9.]+)", line):
                assert match[1].partition(".")[0] in allowed, (path.name, line)
                assert not match[1].startswith("sipmcast") or match[1].startswith("sipmcast.simulator"), line
