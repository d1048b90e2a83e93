"""Side-by-side benchmarks: wherry beside runc, crun, podman and docker.io in one interleaved run.

`python -m bench` starts every peer on a private socket and data root, runs the cases in turn
(A B C A B C …, so that a drift of the machine's speed hits all alike), and prints the median of each and
its ratio to the peer named by the case.  `--write` renews docs/benchmarks.md.
"""
