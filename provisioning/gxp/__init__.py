"""Grandstream configuration as plain data: no Django, no sockets, no clock."""
