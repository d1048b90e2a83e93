"""Commands on networks: one file per command."""
