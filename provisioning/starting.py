"""How a process that is missing is started: by hand, by systemd, in containers, whichever it is here.

Pure: must never import Django, asyncio or socket. What stands between two backticks is typed, or is a name. Whoever
shows it on a page translates it there (provisioning/gxp/words.py).
"""

from provisioning.gxp.words import gettext_noop

WORKER = gettext_noop(
    "Start it as it runs here: the unit `gspnp-work` of systemd, the service `work` of the containers, or by hand "
    "`make run` for everything and `.venv/bin/python manage.py work` for it alone."
)
LISTENER = gettext_noop(
    "Start it as it runs here: the unit `gspnp-listen` of systemd, the service `listen` of the containers, or by hand "
    "`make run` for everything and `.venv/bin/python manage.py listen_pnp` for it alone."
)
OF = {"worker": WORKER, "listener": LISTENER}
