"""Commands: thin, arguments and exit codes only."""
