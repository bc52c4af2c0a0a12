"""The problem that stops a set-up: one sentence that says what, one that says what to do about it."""

from __future__ import annotations


class SetupProblem(Exception):
    """The set-up cannot go on.

    Args:
        what: what is wrong, in one or two sentences.
        remedy: what to do, usually a command to copy; may have several lines.
        log: the last lines of the command that failed, shown before the remedy.
    """

    def __init__(self, what: str, remedy: str = "", log: list[str] | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.log = log or []

    def text(self) -> str:
        """The whole message, ready for standard error."""
        lines = [f"worldsample: {self.what}"]
        lines += [f"  | {line}" for line in self.log]
        lines += [f"  {line}" for line in self.remedy.splitlines()]
        return "\n".join(lines)


class CommandFailed(Exception):
    """A command of the set-up ended with an error.

    Args:
        command: the command line.
        code: its exit code.
        tail: its last lines of output.
    """

    def __init__(self, command: list[str], code: int, tail: list[str]) -> None:
        super().__init__(f"{command[0]} ended with exit code {code}")
        self.command = command
        self.code = code
        self.tail = tail
