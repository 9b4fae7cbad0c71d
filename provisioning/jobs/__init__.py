"""Long work that somebody asked for: in chunks, with progress, pause, cancel, and failures by phone and field."""
