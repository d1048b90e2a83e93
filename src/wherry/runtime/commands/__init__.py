"""The commands of `wherry-runtime`, one module each, loaded when it is asked for.

Each has `FLAGS`, the table of its flags, and `run(options, arguments) -> int`, its exit code.
"""
