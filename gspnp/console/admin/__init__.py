"""The Django admin in unfold's shell. Every change of a phone goes through the same use case as the console's."""

from gspnp.console.admin import contacts, extensions, history, listeners, phones, users

__all__ = ["contacts", "extensions", "history", "listeners", "phones", "users"]
