"""Diagnostics: log lines with facts, and the named points where tests inject faults."""
