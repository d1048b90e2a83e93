"""Commands on the system as a whole, and those on objects of any type."""
