"""Run one command of manage.py and count the CPU time of a few named stages: `python -m tests.bench.stages FILE
COMMAND...`. At its end FILE holds thread -> stage -> [calls, own seconds, seconds with callees]. A helper of hotspots.

Unlike a profiler it looks at few calls, so that it changes little of what it measures: about 1 µs for each call.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from django.core.management import execute_from_command_line

# module, name in it. What is not there (any more) is left out.
STAGES = (
    ("sipmcast.listener", "Listener._read"), ("sipmcast.listener", "Listener.pump"),
    ("sipmcast.agent", "Agent.receive"), ("sipmcast.agent", "read_usual"), ("sipmcast.agent", "Agent._hold"),
    ("sipmcast.agent", "parse_message"), ("sipmcast.agent", "sighting_from"),
    ("sipmcast.agent", "Agent._response"), ("sipmcast.agent", "Agent.answer"), ("sipmcast.agent", "Agent.notify"),
    ("sipmcast.worker", "Worker.deliver"), ("sipmcast.worker", "Worker._answer"),
    ("sipmcast.worker", "Worker._answer_overdue"), ("sipmcast.sending", "Sending._send"),
    ("sipmcast.held", "Held.take"), ("sipmcast.roll_call", "RollCall.heard"),
    ("sipmcast.desk", "store"), ("sipmcast.desk", "owe"), ("sipmcast.desk", "look"), ("sipmcast.desk", "settle"),
    ("sipmcast.desk", "_open"), ("sipmcast.desk", "_resume"), ("sipmcast.calls", "first"),
    ("provisioning.starts", "owe_after_starts"), ("provisioning.starts", "hold_to_limits"),
    ("provisioning.outbox", "due"), ("provisioning.outbox", "claim"), ("provisioning.outbox", "adoptable"),
    ("provisioning.outbox", "still_sending"), ("provisioning.outbox", "drop_unwanted"),
    ("provisioning.settling", "delivered"), ("provisioning.url_forms", "choose"),
    ("devices.claims", "judge_claims"), ("asyncio.base_events", "BaseEventLoop._run_once"),
)  # fmt: skip

_spent: dict[str, dict[str, list[float]]] = {}
_here = threading.local()


def _counted(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run)
    def counted(*arguments: Any, **named: Any) -> Any:
        outer, _here.inner = getattr(_here, "inner", 0.0), 0.0
        begun = time.thread_time()
        try:
            return run(*arguments, **named)
        finally:
            took = time.thread_time() - begun
            figures = _spent.setdefault(threading.current_thread().name, {}).setdefault(name, [0, 0.0, 0.0])
            figures[0] += 1
            figures[1] += took - _here.inner
            figures[2] += took
            _here.inner = outer + took

    return counted


def count_stages() -> None:
    """Put the counters in place; call it once Django is set up."""
    for module, name in STAGES:
        try:
            owner: Any = import_module(module)
            *parents, last = name.split(".")
            for parent in parents:
                owner = getattr(owner, parent)
            setattr(owner, last, _counted(name if parents else f"{module}.{name}", getattr(owner, last)))
        except (ImportError, AttributeError):
            continue


def main(file: Path, command: list[str]) -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gspnp.settings")
    django.setup()
    count_stages()
    try:
        execute_from_command_line(["manage.py", *command])
    finally:
        file.write_text(json.dumps(_spent), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
