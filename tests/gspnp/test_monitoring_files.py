"""The example dashboard and alert rules speak of metrics, labels and values that the product has."""

import json
import re
from types import SimpleNamespace

import pytest

from devices import facts as facts_of_phones
from devices import metrics, stage_times
from devices.choices import Stage
from gspnp import watched as console  # noqa: F401  (its metrics)
from provisioning.door import watched as door  # noqa: F401  (the same)
from provisioning.facts import Facts
from provisioning.jobs.models import JobState
from sipmcast import watched as listener
from sipmcast.agent import Agent
from sipmcast.held import Held
from sipmcast.pulse import Pulse
from tests import cast
from tests.support.site import ROOT

FOLDER = ROOT / "docs" / "monitoring"
NAME = re.compile(r"\b(?:gspnp|process)_[a-z_]+\b")
SELECTOR = re.compile(r"\b((?:gspnp|process)_[a-z_]+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"')
OF_SCRAPES = {"job", "instance", "le"}
# Of fixed sets that show their values when something happens.
LATER = {"stage": {str(stage) for stage in Stage}, "state": {str(state) for state in JobState}}


def rules() -> list[dict[str, str]]:
    """Each alert as what stands below it; the shape is held strictly, because no reader of YAML is part of ours."""
    text = (FOLDER / "alerts.yml").read_text(encoding="utf-8")
    assert "\t" not in text
    head, *blocks = re.split(r"^      - alert: ", text, flags=re.MULTILINE)
    assert re.sub(r"#.*\n", "", head) == "groups:\n  - name: gspnp\n    rules:\n"
    found = []
    for block in blocks:
        name, _, rest = block.partition("\n")
        rule = re.fullmatch(
            r"        expr: (?P<expr>(?:\|\n(?:          .+\n)+)|.+\n)"
            r"(?:        for: (?P<held>[0-9]+[smh])\n)?"
            r"        labels:\n          severity: (?P<severity>warning|critical)\n"
            r'        annotations:\n          summary: "(?P<summary>[^"\\]+)"\n'
            r'          description: "(?P<description>[^"\\]+)"\n',
            rest,
        )
        assert rule is not None, f"{name} has another shape:\n{rest}"
        assert ": " not in rule["expr"] and " #" not in rule["expr"], name  # YAML would take it for something else
        found.append({"name": name, **rule.groupdict()})
    return found


def expressions() -> list[str]:
    board = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    shown = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    return [*shown, *(rule["expr"] for rule in rules())]


@pytest.fixture
def exposed(db, clock) -> dict[str, dict[str, set[str]]]:
    """All that the four processes show: name of a series -> label -> values."""
    hearing = SimpleNamespace(agent=Agent(b"key"), legs=[cast.LEG], trouble={}, kernel_drops=lambda: 0)
    assert facts_of_phones.of_phones in metrics.facts
    stage_times.show()
    metrics.show(metrics.DATABASE)
    with (
        metrics.reading(Facts()),
        metrics.reading(lambda: listener.of_listener(hearing, Pulse(Held()))),
    ):
        families = list(metrics.REGISTRY.collect())
    found: dict[str, dict[str, set[str]]] = {}
    for family in families:
        found.setdefault(family.name, {})  # one that shows nothing yet
        for sample in family.samples:
            for label, value in sample.labels.items():
                found.setdefault(sample.name, {}).setdefault(label, set()).add(value)
            found.setdefault(sample.name, {})
    return found


def test_rules_and_panels_ask_for_what_is_shown(exposed):
    asked = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(asked) > 25
    assert asked - exposed.keys() == set()


def test_what_they_select_by_exists(exposed):
    for expression in expressions():
        for name, matchers in SELECTOR.findall(expression):
            for label, values in MATCHER.findall(matchers):
                if label in OF_SCRAPES:
                    continue
                known = exposed[name].get(label, set()) | LATER.get(label, set())
                assert set(values.split("|")) <= known, f"{name}{{{label}}}: {values} of {sorted(known)}"


def test_what_they_group_by_is_a_label_of_what_they_ask_for(exposed):
    for expression in expressions():
        names = NAME.findall(expression)
        for group in re.findall(r"\bby \(([^)]*)\)", expression):
            wanted = {label.strip() for label in group.split(",")} - OF_SCRAPES
            if "site" not in wanted:  # of listeners: there are none here
                assert wanted <= set().union(*(exposed[name].keys() for name in names)), expression


def test_parentheses_and_quotes_are_whole():
    for expression in expressions():
        bare = re.sub(r'"[^"]*"', "", expression)
        assert '"' not in bare
        for opened, closed in ("()", "{}", "[]"):
            assert bare.count(opened) == bare.count(closed), expression


def test_every_alert_has_a_name_of_its_own_and_stands_in_the_documentation():
    named = [rule["name"] for rule in rules()]
    assert len(named) == len(set(named)) > 10
    text = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    assert [name for name in named if name not in text] == []


def test_every_metric_of_ours_stands_in_the_documentation(exposed):
    text = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    ours = {name for name in exposed if name.startswith("gspnp_")}
    ours = {re.sub(r"_(bucket|count|sum|total)$", "", name) for name in ours}
    assert sorted(name for name in ours if name not in text) == []


def test_panels_do_not_lie_on_each_other():
    board = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
