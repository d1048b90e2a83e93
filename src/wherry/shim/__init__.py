"""The shim: one small process beside each container, which outlives the daemon.

It holds what must not end with the daemon: the container's init as its child, the root directory's mount,
the log, and the clients' sockets.  Daemons come, ask over the protocol of `shim.protocol`, and go; the
bundle's files tell the next one what has happened.
"""
