"""The spawner: the process with one thread in which shims begin, and in which other namespaces are entered.

The daemon has threads, so it neither forks nor changes its namespaces: it asks the spawner, over the protocol
of `spawner.protocol`.
"""
