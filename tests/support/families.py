"""Families of metrics, as a test compares them."""

from collections.abc import Iterable

from prometheus_client.core import Metric


def values(families: Iterable[Metric]) -> dict[str, float]:
    """`name{label}` -> value; what is nought is left out."""
    found = {}
    for family in families:
        for sample in family.samples:
            label = ",".join(sample.labels.values())
            found[f"{sample.name}{{{label}}}" if label else sample.name] = sample.value
    return {name: value for name, value in found.items() if value}
