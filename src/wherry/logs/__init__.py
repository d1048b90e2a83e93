"""Logs: what containers print, written by the shim and read by the engine."""
