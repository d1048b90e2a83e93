"""Containers: the live objects behind the records, and one file a verb."""
