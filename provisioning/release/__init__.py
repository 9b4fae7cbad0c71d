"""A phone's file by its plain name, which anybody may guess: only while a person lets it out, to one address, once."""
