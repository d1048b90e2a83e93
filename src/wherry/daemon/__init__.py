"""The daemon: wherryd, its configuration, its wiring and the routes of the Engine API.

    main       the program: start, signals, end           config    what was asked for, in one value
    options    dockerd's flags and configuration file     wiring    builds the engine from its parts
    locks      one daemon for each root                   origin    refuses what comes from a web page
    dispatch   version, headers and failures              routing   patterns to handlers
    request    a routed request, with typed parameters    answers   JSON, progress, hijacked connections
    routes/    the handlers, one module for each noun

A handler reads its request, calls one verb of the engine and shapes the answer.  It decides nothing.
"""
