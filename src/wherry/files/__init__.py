"""Files: atomic writes, locks, paths that cannot leave a root, and the tar reader and writer."""
