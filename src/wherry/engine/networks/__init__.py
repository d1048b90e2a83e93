"""Networks: the predefined ones."""
