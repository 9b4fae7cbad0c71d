"""Plain names, without a secret path: files without secrets for a whole model, and what was asked for in vain."""
