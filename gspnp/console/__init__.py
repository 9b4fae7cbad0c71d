"""The Django app of the pages, the live consumer and the admin classes: it shows what all the others know."""
