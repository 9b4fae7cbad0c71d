"""The phones' door: from the bytes of a request to the bytes of an answer, and what a taken file proves.

`wire.py` speaks HTTP, `lookup.py` says what a request may have, `app.py` answers it.
"""
