"""Exec: more processes in a running container."""
