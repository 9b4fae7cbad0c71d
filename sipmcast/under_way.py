"""Which NOTIFYs have a client transaction in this listener. Pure: it imports nothing."""

from collections.abc import Collection, Iterable

About = tuple[int, str]
"""The phone's id and the kind of NOTIFY; of these one at a time is wanted."""


class UnderWay:
    """The open transactions, by the id of their NOTIFY; bounded by the agent, which has no room for more."""

    def __init__(self) -> None:
        self._about: dict[int, About] = {}
        self._latest: dict[About, int] = {}

    def begin(self, notify_id: int, about: About) -> int | None:
        """Note this one; the other that it takes the place of, and that must not be sent again: it names old paths."""
        self._about[notify_id] = about
        before = self._latest.get(about)
        self._latest[about] = notify_id
        if before is None or before == notify_id:
            return None
        del self._about[before]
        return before

    def end(self, notify_ids: Iterable[int]) -> None:
        """These have no transaction any more; unknown ones are no error."""
        for notify_id in notify_ids:
            about = self._about.pop(notify_id, None)
            if about is not None and self._latest[about] == notify_id:
                del self._latest[about]

    def ids(self) -> Collection[int]:
        return set(self._about)
