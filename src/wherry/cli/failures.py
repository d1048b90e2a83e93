"""How a command ends other than well."""

from __future__ import annotations

from wherry.errors import InvalidArgument, WherryError

FAILED = 1
TEMPLATE_FAILED = 64
OPTION_FAILED = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127


class CommandFailed(WherryError):
    """The command ends with `status`; an empty message prints nothing."""

    def __init__(self, message: str, status: int = FAILED, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class FlagError(InvalidArgument):
    """A flag that pflag would not accept, in its words."""


class HelpWanted(Exception):
    """`--help` was among the flags."""


class DeprecatedHelp(HelpWanted):
    """`-h`, where it stands for help."""


class ArgumentCountError(InvalidArgument):
    """Too few or too many positional arguments."""


class Ended(BaseException):
    """A signal ends the program; unwinds through every `finally`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
