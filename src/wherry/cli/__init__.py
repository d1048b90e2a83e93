"""The command line: Docker's grammar, output and exit codes.

    commands    the table of commands: path, module, summary
    main        global options, dispatch, failures to exit codes
    flags help  pflag's grammar and cobra's help layout
    session     what a command gets: client, configuration, output
    gotemplate  Go's text/template, for --format
    container image volume network system   one file per command

A run loads only the modules of its own command; the start path imports nothing slow.
"""
