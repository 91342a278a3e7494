"""What a check has found: printed as it comes, and counted for the exit status."""

import sys

found = 0
told = 0


def fault(what: str) -> None:
    global found
    found += 1
    print(f"FAULT   {what}")


def ok(what: str) -> None:
    """Unless there was a fault since it was last said."""
    global told
    if found == told:
        print(f"ok      {what}")
    told = found


def skipped(what: str) -> None:
    print(f"skipped {what}")


def end() -> None:
    sys.exit(1 if found else 0)
