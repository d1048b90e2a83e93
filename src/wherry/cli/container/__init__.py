"""Commands on containers: one file per command."""
