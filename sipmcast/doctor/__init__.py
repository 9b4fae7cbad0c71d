"""pnp_doctor: why phones may not be seen, as a list of findings in a technician's words.

Reading this machine (`machine`), asking the network (`probing`) and judging what came of it (all others, pure) are
separate. Nothing here writes anything, and nothing is ever sent on a schedule.
"""
