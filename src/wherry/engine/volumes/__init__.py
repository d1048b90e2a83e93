"""Volumes of the local driver: directories under `<data-root>/volumes`."""
