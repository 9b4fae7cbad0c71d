"""Phonebooks: one for each site, from its assigned phones and from contacts, at a secret path."""
