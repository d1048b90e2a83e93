"""An OCI runtime: makes containers of bundles, as the program wherry-runtime and as a library of the shim.

    plan        what the configuration asks for, checked; pure
    launch      the parent's side: cgroup, sources, clone3, and what a child cannot do for itself
    init        the child's side: the ordered steps up to execve
    sync        what the two say to each other
    container   the state machine on disk, for the command line; a shim keeps its own records
    commands    runc's command line, one module a command

The life of a container: `launch.create_init` makes the namespaces and everything in them, and a first
process that waits at the gate; `Init.start` opens the gate; `launch.exec_process` starts more processes;
their parent reaps them.  Whatever fails before the gate is undone whole, and its cause is reported in the
words of runc, by which engines and their clients tell failures apart.

Nothing of a container is trusted: its paths are opened below its root (`inside`), what is mounted is held by
descriptor, and the process that enters it can neither be looked into nor leads back to the host's files.

Standard library only, and of that what loads quickly.
"""
