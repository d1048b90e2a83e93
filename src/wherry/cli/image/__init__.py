"""Commands on images: one file per command."""
