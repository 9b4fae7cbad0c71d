"""The inventory of phones: what was heard, what each model has, what was assigned."""
