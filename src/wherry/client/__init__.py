"""The client of the Engine API: a blocking HTTP/1.1 client, endpoints, contexts and configuration.

It starts in a few milliseconds: no framework, `_socket` instead of `socket`, and `ssl` only for
TLS endpoints.  Modules:

    endpoint    which daemon: flags, environment, contexts, the default sockets
    config      ~/.docker/config.json
    contexts    the store of named endpoints
    transports  byte streams to it: unix, tcp, TLS, ssh
    http        requests and responses on such a stream
    api         the Engine API: versions, errors, hijacked connections
    failures    what goes wrong, with the texts of Docker's client
"""
