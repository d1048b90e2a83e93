"""Commands on volumes: one file per command."""
