"""What keeps the event loop of a door at work: neither garbage nor other threads take its turn for long."""

import gc
import sys

SWITCH_SECONDS = 0.0005  # a phone's request takes a fifth of it


def keep() -> None:
    """Call it when all is loaded. That stays: nobody looks through it for garbage while somebody waits. And whoever
    works in another thread gives the interpreter back to the loop after that long, not after Python's 5 ms."""
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_SECONDS)
