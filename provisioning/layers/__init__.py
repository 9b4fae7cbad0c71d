"""The layers of settings as rows: what sites, models, templates and single phones say, and who said it."""
