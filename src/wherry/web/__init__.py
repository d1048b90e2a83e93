"""Web: an HTTP server whose connections can be handed over.

A handler is a coroutine from `Request` to `Response` or `Hijack`.  HTTP/1.1, HTTP/2 with prior knowledge and
TLS share one listener, and the handler does not see which it was.  A hijacked HTTP/1.1 connection without
TLS is given away as its own socket: the daemon is then out of the path.

Framing is strict: what two parsers could read in two ways is refused and the connection closed, so that a
proxy in front cannot be made to disagree with us about where a request ends.

    listeners   addresses and bound sockets          server      accepts, counts, closes
    http1       one HTTP/1.1 connection              http2       one HTTP/2 connection
    tls         TLS that can half-close              hijack      what a handler does with a connection
    body        a request's body                     messages    Request, Response, Hijack
"""
