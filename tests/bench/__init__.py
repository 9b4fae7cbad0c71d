"""Measuring: how fast the product is beside its peers, on the same machine in the same run. Nothing here is a test."""
