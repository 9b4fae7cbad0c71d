"""What else is done in each round of the worker: those who stand above this app register here, as they are loaded."""

from collections.abc import Callable

also: list[Callable[[], object]] = []
"""Called every few seconds, in each worker process: whoever is here sees to it that a thing is done once."""
