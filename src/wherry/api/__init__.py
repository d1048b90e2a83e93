"""The Engine API as data, shared by daemon and client.

Wire types, versions, stream frames, filters, registry credentials and the table from kinds of failure to
HTTP statuses.  Nothing here talks to anything.  `frames` is on the CLI's start path and imports nothing.
"""
