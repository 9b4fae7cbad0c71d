"""A phone's file by its plain name, which is for anybody to guess: only while a person lets it out, to one address, once."""
