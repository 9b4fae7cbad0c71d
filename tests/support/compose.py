"""docker-compose.yml as its own tool reads it, anchors resolved, and checked against the specification's schema."""

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.parts import missing, require

ROOT = Path(__file__).resolve().parent.parent.parent
FILE = ROOT / "docker-compose.yml"
DEBIAN_PYTHON = "/usr/bin/python3"  # the schema, and what reads YAML, are of Debian's docker-compose
READ = """
import json, sys
from pathlib import Path
import compose.config, jsonschema, yaml
content = yaml.safe_load(Path(sys.argv[1]).read_text())
schema = json.loads((Path(compose.config.__file__).parent / "compose_spec.json").read_text())
faults = [f"{'/'.join(map(str, one.absolute_path))}: {one.message}"
          for one in jsonschema.Draft7Validator(schema).iter_errors(content)]
json.dump({"content": content, "faults": faults}, sys.stdout)
"""


@cache
def _read(file: Path = FILE) -> dict[str, Any]:
    require("docker-compose")
    done = subprocess.run(
        [DEBIAN_PYTHON, "-c", READ, str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    if "ModuleNotFoundError" in done.stderr:
        missing("the compose specification's schema is not installed: apt-get install docker-compose")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def content(file: Path = FILE) -> dict[str, Any]:
    """The whole file; docker-compose.yml if none is named."""
    return _read(file)["content"]


def services() -> dict[str, dict[str, Any]]:
    """Each service, with what it shares with others."""
    return content()["services"]


def faults() -> list[str]:
    """Where it is not as the schema says."""
    return _read()["faults"]
