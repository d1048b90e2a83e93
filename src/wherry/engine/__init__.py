"""The engine: Docker's rules on top of core.

A folder per noun, a file per verb; each verb is a coroutine that takes the `Engine` first.
The life of a container:

    created ──start──► running ◄──pause/unpause──► paused
       ▲                  │ exit
       │                  ▼
       │               exited ──restart policy──► restarting ──► running
       └─ create          │ remove (or auto-remove)
                          ▼
                       removing ──► gone        a removal that failed leaves it dead

Every change of a container happens under its lock and ends in one transaction; the event
goes out after the commit.  What a crash may cut in two is written down before it is done:
a container's directory stands before its record, a removal is recorded before its first
act, and `restore` finishes or undoes the rest.
"""
