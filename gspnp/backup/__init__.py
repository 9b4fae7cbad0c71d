"""Backups: the data in one archive, the keys that open it in another place."""
