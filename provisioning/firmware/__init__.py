"""Firmware: images on disk, the path of versions that a model shall take, and how often a phone tried."""
