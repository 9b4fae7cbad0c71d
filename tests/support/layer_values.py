"""Random layers: values that the catalogue takes, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from devices.catalog import CODECS, KeyKind, KeyMode, PhoneModel, slots
from provisioning.gxp.catalogue import SETTINGS, Kind, Setting, fault
from provisioning.gxp.config import KeyConfig
from provisioning.gxp.layers import problems
from provisioning.gxp.pvalues import OPINIONS, OWNED
from tests.golden.cases import account, device

# Everything that XML 1.0 can hold, less the control characters that are refused.
LEGAL = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
TONES = st.text("0123456789ABCDabcd*#,", min_size=1, max_size=20)
WORDS = st.characters(exclude_categories=["Cc", "Cs", "Cf", "Zs", "Zl", "Zp"], exclude_characters="\ufffe\uffff@")
_EXAMPLES = {
    Kind.HOST: ["pbx.example", "192.0.2.1:5061", "[2001:db8::1]"],
    Kind.IPV4: ["192.0.2.17"],
    Kind.IPV6: ["2001:db8::17"],
    Kind.ENDPOINT: ["224.0.1.20:10000"],
    Kind.PATH: ["files.example/a&b"],
    Kind.URL: ["http://files.example/a?b=$mac&c=1"],
    Kind.TONE: ["f1=440,f2=480,c=200/400;"],
    Kind.PEM: ["-----BEGIN X-----\nYQ==\n-----END X-----\n"],
}


def value_of(row: Setting) -> st.SearchStrategy[str]:
    """Texts that this setting takes."""
    if row.kind is Kind.CHOICE:
        return st.sampled_from(list(row.choices))
    if row.kind is Kind.NUMBER:
        return st.integers(row.least, row.most).map(str)
    if row.kind is Kind.LIST:
        return st.lists(st.sampled_from(list(row.choices)), unique=True, min_size=1).map(",".join)
    if row.kind in (Kind.TEXT, Kind.WORD):
        typed = st.text(LEGAL if row.kind is Kind.TEXT else WORDS, max_size=min(row.most, 40))
    else:
        typed = st.sampled_from(["", *_EXAMPLES[row.kind]])
    return typed.filter(lambda text: fault(row, text) is None)


def layer_values(model: PhoneModel) -> st.SearchStrategy[dict[str, str | None]]:
    """Settings of a layer that `problems` finds right."""
    rows = [row for row in SETTINGS.values() if row.applies_to(model.name) and row.name not in OWNED]
    row_and_text = st.sampled_from(rows).flatmap(lambda row: st.tuples(st.just(row.name), st.none() | value_of(row)))
    raw = st.tuples(st.sampled_from(["P99999", "P88888"]), st.none() | st.text(LEGAL, max_size=40))
    return st.lists(row_and_text | raw, max_size=12).map(dict).filter(lambda values: not problems(values))


@st.composite
def configurations(draw: st.DrawFn, model: PhoneModel):
    """Any configuration that can be rendered: accounts, keys and layers of random content."""
    numbers = draw(st.sets(st.integers(1, model.accounts), min_size=1))
    text, word = st.text(LEGAL, max_size=20), st.text(WORDS, min_size=1, max_size=20)
    accounts = [
        account(
            number, user_id=draw(word), auth_id=draw(word | st.just("")), password=draw(text), display_name=draw(text),
            voicemail=draw(text), codecs=tuple(draw(st.lists(st.sampled_from(list(CODECS)), unique=True, min_size=1))),
        )
        for number in sorted(numbers)
    ]  # fmt: skip
    modes = {kind: [mode for mode in model.modes(kind) if mode is not KeyMode.EVENTLIST_BLF] for kind in KeyKind}
    keys = []
    for slot in draw(st.sets(st.sampled_from(slots(model)))):
        mode = draw(st.sampled_from(modes[slot.kind]))
        values = {KeyMode.LINE: st.just(""), KeyMode.PAGING: st.just("224.0.1.20:10000"), KeyMode.DTMF: TONES}
        value = draw(values.get(mode, word))
        keys.append(KeyConfig(slot, mode, draw(st.sampled_from(sorted(numbers))), draw(text), value))
    said = draw(layer_values(model))
    off = frozenset(name for name in OPINIONS if said.get(name, "") is None)
    earlier = draw(st.frozensets(st.sampled_from([row.name for row in SETTINGS.values()]), max_size=10))
    return device(model.name, *accounts, keys=tuple(keys), settings=said, opinions_off=off, earlier=earlier)
