"""The language of what is stored: an event, a note or a reason is written once and read by everybody, so in English."""

from __future__ import annotations

from django.utils import translation


def in_english(words: object) -> str:
    """The text of a label or a lazy translation as it stands in the source, whoever asks."""
    with translation.override(None):
        return str(words)
