"""The values of one layer as a person edits them: a row for each setting, shorthands on top, secrets write-only.

`base` is what is stored, or what was typed on the page before; a secret that is left blank keeps what stands there.
Nothing here judges a value: `provisioning.gxp.layers.problems` does, and `place` puts each problem beside its field.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from provisioning.gxp.catalogue import Kind
from provisioning.gxp.config import Problem
from provisioning.gxp.entries import QUICK, Entry, entry, label_of, search
from provisioning.gxp.layers import SHORTHANDS, Values, canonical, problems, warnings
from provisioning.gxp.zones import zone_names
from provisioning.layers.store import MAX_VALUES

NO_SUCH = Entry("", "not known", "")
TYPE_IT = gettext_lazy("Type it, or leave the phone's own value alone: nothing is stored here that a blank could keep.")


@dataclass
class Row:
    """One setting of the form. `text` is what is shown, always empty for a secret; `stored` says that a blank keeps
    what is there."""

    entry: Entry
    text: str = ""
    alone: bool = False
    stored: bool = False
    fresh: bool = False
    problem: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def chosen(self) -> list[str]:
        """The parts of a list."""
        return self.text.split(",")

    @property
    def widget(self) -> str:
        """Which of the template's inputs shows it."""
        if not self.entry.settable:
            return "none"
        if self.entry.kind is Kind.PEM:
            return "area"
        if self.entry.secret:
            return "secret"
        return {Kind.CHOICE: "select", Kind.LIST: "list", Kind.NUMBER: "number"}.get(self.entry.kind, "text")

    @property
    def problem_id(self) -> str:
        return f"problem-{self.name}"


class SettingsForm:
    """All rows of one layer. `data` is what a browser posted, None for a page that is opened; `typed` are the secrets
    of the base that were typed on a page before."""

    def __init__(self, base: Values, data: QueryDict | None = None, typed: Collection[str] = ()) -> None:
        self.base, self.data, self._typed = base, data, frozenset(typed)
        self.problems: list[str] = []
        self.query = data.get("q", "")[:100] if data is not None else ""
        self.found: list[Entry] | None = None
        self.missing: set[str] = set()  # secrets that were left blank, and nothing is stored
        names = [canonical(name) for name in data.getlist("setting")] if data is not None else list(base)
        self.rows = [self._row(name) for name in dict.fromkeys(names) if name not in SHORTHANDS][:MAX_VALUES]
        self.shorthands = [self._row(name) for name in SHORTHANDS]

    def _row(self, name: str) -> Row:
        one = entry(name) or Entry(name, NO_SUCH.group, label_of(name))
        if self.data is None:
            text, alone = self.base.get(name), name in self.base and self.base[name] is None
        else:
            text, alone = self._posted(one), f"alone-{name}" in self.data
        kept = self.base.get(name)
        return Row(
            one,
            text="" if one.secret or text is None else text,
            alone=alone or not one.settable,
            stored=one.secret and (kept is not None or bool(self.data is not None and text)),
            warnings=[problem.message for problem in warnings({name: text})] if name not in SHORTHANDS else [],
        )

    def _posted(self, one: Entry) -> str:
        assert self.data is not None
        typed = self.data.getlist(f"value-{one.name}")
        if one.kind is Kind.LIST:
            return ",".join(part for part in typed if part)
        text = typed[-1] if typed else ""
        return text.replace("\r\n", "\n") if one.kind is Kind.PEM else text

    @property
    def quick(self) -> list[tuple[str, list[Entry]]]:
        """What is looked for first, in groups."""
        return [(_(title), [one for name in names if (one := entry(name))]) for title, names in QUICK.items()]

    @property
    def zones(self) -> tuple[str, ...]:
        return zone_names()

    @property
    def all_rows(self) -> list[Row]:
        return [*self.shorthands, *self.rows]

    def act(self, do: str) -> bool:
        """Carry out what a button of the form asks of the form itself; False if it asks for more."""
        what, _, name = do.partition(":")
        if what == "enter" and self.query:
            what = "search"
        if what == "search":
            self.found = search(self.query)
        elif what == "add":
            self.add(name)
        elif what == "remove":
            self.rows = [row for row in self.rows if row.name != name]
        else:
            return False
        return True

    def add(self, name: str) -> None:
        """A new, empty row, or a problem on top that says why there is none."""
        try:
            row = new_row(name)
        except NoSuchSetting as why:
            self.problems.append(str(why))
            return
        present = [one.name for one in self.rows]
        if row.name not in present:
            self.rows.append(row)
        self.query = ""  # found what was looked for: Enter means the form again

    def values(self) -> dict[str, str | None]:
        """What was decided, however wrong."""
        found: dict[str, str | None] = {}
        for row in self.shorthands:
            if row.text.strip():
                found[row.name] = row.text.strip()
        for row in self.rows:
            found[row.name] = self._value(row)
        return found

    def _value(self, row: Row) -> str | None:
        if row.alone:
            return None
        if not row.entry.secret or self.data is None:
            return self.base.get(row.name) if self.data is None else row.text
        typed = self._posted(row.entry)
        kept = self.base.get(row.name)
        if not typed and kept is None:
            self.missing.add(row.name)
        return typed or kept or ""

    @property
    def typed(self) -> frozenset[str]:
        """The secrets that somebody has typed, here or on a page before: whether one is what is stored is not for
        everybody to know."""
        here = {row.name for row in self.rows if row.entry.secret and self.data is not None and self._posted(row.entry)}
        return self._typed | here

    def draft(self) -> dict[str, str | None]:
        """What goes along to the next page: everything but secrets that nobody has typed yet."""
        return {name: text for name, text in self.values().items() if name not in self.missing}

    def is_valid(self) -> bool:
        """Whether every value is right for itself; each problem stands beside its field then."""
        found = problems(self.values())
        self.place([*(Problem(f"setting.{name}", str(TYPE_IT)) for name in sorted(self.missing)), *found])
        return not self.problems and not any(row.problem for row in self.all_rows)

    def place(self, found: Iterable[Problem]) -> None:
        """Put each problem beside its field (`setting.vlan_tag`), or on top if it has none here."""
        rows = {row.name: row for row in self.all_rows}
        for problem in found:
            kind, _, name = problem.field.partition(".")
            row = rows.get(name) if kind == "setting" else None
            if row is None:
                self.problems.append(problem.message)
            elif not row.problem:
                row.problem = _beside(row, problem.message)

    @property
    def wrong(self) -> int:
        """How many fields have a problem."""
        return sum(bool(row.problem) for row in self.all_rows)


def _beside(row: Row, message: str) -> str:
    """A message that begins with the setting's name begins with the field's label where both can be seen."""
    rest = message.removeprefix(row.name)
    return message if rest == message or rest[:1] not in (":", " ") else f"{row.entry.label}{rest}"


class NoSuchSetting(ValueError):
    """A name that no layer can have; the text says what to do."""


def new_row(name: str) -> Row:
    """An empty row for this name or P-code, in any spelling. Raises NoSuchSetting."""
    one = entry(name[:100])
    if one is None or one.name in SHORTHANDS:
        if one is not None:
            raise NoSuchSetting(_("%(setting)s: choose it on top of the page.") % {"setting": one.label})
        found = problems({canonical(name[:100]): ""})
        raise NoSuchSetting(found[0].message if found else _("There is no setting %(name)r.") % {"name": name[:100]})
    words = [problem.message for problem in warnings({one.name: ""})]
    return Row(one, alone=not one.settable, fresh=True, warnings=words)
