"""Dependency directions, read from the import statements: gspnp → sipmcast → provisioning → devices.

Source: style.md, "Dependency direction".
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
APPS = ("devices", "provisioning", "sipmcast", "gspnp")  # each may import itself and those before it
PURE = (
    "sipmcast/sip/*.py", "sipmcast/transaction.py", "sipmcast/agent.py", "sipmcast/events.py", "sipmcast/pnp.py",
    "sipmcast/replies.py", "sipmcast/usual.py", "sipmcast/journal.py", "sipmcast/redaction.py",
    "devices/limits.py", "sipmcast/fair.py", "sipmcast/rounds.py", "sipmcast/held.py", "sipmcast/under_way.py",
    "devices/newcomers.py",
    "provisioning/gxp/*.py", "provisioning/tables/*.py", "provisioning/paths.py", "provisioning/door/http.py",
    "provisioning/starting.py", "provisioning/door/names.py", "provisioning/door/http_login.py",
    "devices/address.py",
    "devices/mac.py", "devices/catalog.py", "devices/sighting.py", "devices/trust.py",
)  # fmt: skip
IMPURE = {"django", "asyncio", "socket", "channels", "asgiref", "threading", "subprocess", "selectors", "time"}


def modules(app: str) -> list[Path]:
    return sorted((ROOT / app).rglob("*.py"))


def pure_modules() -> list[Path]:
    return sorted(path for pattern in PURE for path in ROOT.glob(pattern))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Every module that this file imports, anywhere in it, and by string too (import_module, import_string)."""
    package = name_of(path) if path.name == "__init__.py" else name_of(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "import_string", "__import__", "get_model"):
                yield from (str(one.value) for one in node.args[:1] if isinstance(one, ast.Constant))


def top(name: str) -> str:
    return name.partition(".")[0]


def ids(path: Path) -> str:
    return name_of(path)


def test_the_lists_above_find_something():
    assert len(pure_modules()) >= 15
    assert all(modules(app) for app in APPS)
    assert all(list(ROOT.glob(pattern)) for pattern in PURE)


@pytest.mark.parametrize("app", APPS)
def test_an_app_imports_only_those_below_it(app):
    above = set(APPS[APPS.index(app) + 1 :])
    wrong = {name_of(path): name for path in modules(app) for name in imports(path) if top(name) in above}
    assert wrong == {}


@pytest.mark.parametrize("app", APPS)
def test_no_product_code_imports_tests(app):
    assert [name_of(path) for path in modules(app) if "tests" in map(top, imports(path))] == []


@pytest.mark.parametrize("path", pure_modules(), ids=ids)
def test_a_pure_module_imports_nothing_impure(path):
    assert {name for name in imports(path) if top(name) in IMPURE} == set()


def reached(name: str, seen: set[str]) -> set[str]:
    """All modules of ours that importing `name` reaches, packages above them included."""
    for candidate in (name, name.rpartition(".")[0]):
        base = ROOT.joinpath(*candidate.split("."))
        path = base.with_suffix(".py") if base.with_suffix(".py").is_file() else base / "__init__.py"
        if candidate and path.is_file():
            if candidate not in seen:
                seen.add(candidate)
                for parent in range(1, candidate.count(".") + 1):
                    reached(".".join(candidate.split(".")[:parent]), seen)
                for imported in imports(path):
                    if top(imported) in APPS:
                        reached(imported, seen)
            return seen
    return seen


@pytest.mark.parametrize("path", pure_modules(), ids=ids)
def test_what_a_pure_module_reaches_is_pure_too(path):
    files = {}
    for name in reached(name_of(path), set()):
        base = ROOT.joinpath(*name.split("."))
        files[name] = base.with_suffix(".py") if base.with_suffix(".py").is_file() else base / "__init__.py"
    wrong = {name: one for name, file in files.items() for one in imports(file) if top(one) in IMPURE}
    assert wrong == {}


def test_the_simulator_knows_only_the_standard_library_and_itself():
    """One side's mistake must not hide the other's."""
    allowed = set(sys.stdlib_module_names)
    wrong = {
        name_of(path): name
        for path in sorted((ROOT / "sipmcast/simulator").glob("*.py"))
        for name in imports(path)
        if top(name) not in allowed and not name.startswith("sipmcast.simulator")
    }
    assert wrong == {}


def test_only_the_inventory_writes_phones_accounts_and_keys():
    """The docstring of devices/inventory.py is a promise."""
    wrong = []
    for app in APPS:
        for path in modules(app):
            if "migrations" in path.parts or name_of(path) in ("devices.inventory", "devices.whole"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    text = ast.unparse(node)
                    writes = node.func.attr in ("create", "update", "delete", "bulk_create", "bulk_update")
                    if writes and text.startswith(("Phone.objects", "Account.objects", "Key.objects")):
                        wrong.append(f"{name_of(path)}:{node.lineno}")
    assert wrong == []


def test_only_the_directory_writes_extensions():
    """The docstring of devices/directory.py is a promise."""
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for app in APPS
        for path in modules(app)
        if "migrations" not in path.parts and path.name != "directory.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in ("create", "update", "delete", "bulk_create", "bulk_update")
        if ast.unparse(node).startswith("Extension.objects")
    ]
    assert wrong == []


def test_p_values_are_named_in_one_table():
    """No bare P47: their numbers stand in the catalogue (style: "P-values are named once")."""
    wrong = [
        f"{name_of(path)}: {literal}"
        for app in APPS
        for path in modules(app)
        if "simulator" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for literal in re.findall(r"^P[0-9]{1,5}$", node.value)
    ]
    assert wrong == []
