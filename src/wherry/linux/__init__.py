"""The kernel and nothing else: system calls, control group files, filter programs.

A function makes one call, keeps its errno, and decides nothing; only OSError is raised.  Every
descriptor returned is close-on-exec and the caller's.
"""
