"""The Django admin in unfold's shell. Every change of a phone goes through the same use case as the console's."""

from gspnp.console.admin import contacts, history, listeners, phones, users

__all__ = ["contacts", "history", "listeners", "phones", "users"]
