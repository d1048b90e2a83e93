"""The documents of the OCI image and distribution specifications, as values that cannot be wrong.

A `Digest`, a `Reference`, a `Platform` or a `Descriptor` exists only when its text was valid.
Manifests, indexes and image configs are parsed from the bytes whose digest was checked and
never written back: whatever has a digest is kept as received, and unknown fields are kept.
Parsing is bounded and strict: two readers of one document must not see two images.
"""
