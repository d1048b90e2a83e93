"""The engine about itself: version, info, events."""
