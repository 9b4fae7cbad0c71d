"""Names of tables and columns, and what stands beside a field in the administration, in the reader's language.

Django makes most of these names itself, and those that are given are part of the migrations. So they stay plain English
in the models, and are made translatable here, before the administration makes its forms of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.utils.translation import gettext_lazy

from devices.wording import in_english

OUR_APPS = ("devices", "provisioning", "sipmcast", "console")


def _places() -> Iterator[tuple[Any, str]]:
    """Objects and the attributes of them that hold a text for people."""
    for label in OUR_APPS:
        for model in apps.all_models[label].values():  # the registry is not ready yet
            yield from ((model._meta, "verbose_name"), (model._meta, "verbose_name_plural"))
            for field in model._meta.local_fields:
                yield from ((field, "verbose_name"), (field, "help_text"))


def make_translatable() -> None:
    """Each of them says its text in the language of whoever asks."""
    for holder, name in _places():
        text = in_english(getattr(holder, name))
        if text:  # gettext has the head of its catalogue under the empty text
            setattr(holder, name, gettext_lazy(text))


def as_source() -> str:
    """All of them as Python that `make messages` reads."""
    texts = sorted({in_english(getattr(holder, name)) for holder, name in _places()} - {""})
    return "".join(f"gettext_noop({text!r})\n" for text in texts)
