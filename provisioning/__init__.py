"""Configuration files for phones: planned, rendered, stored, announced and served."""
