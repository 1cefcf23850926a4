"""What a command says and returns when it cannot do what it was asked."""

from __future__ import annotations

import sys
from collections.abc import Callable

from spaces.errors import SearchError, UserError


def exit_status(command: Callable[[], int]) -> int:
    """Return what the command returns; 1 if it has to give up, 2 for a mistake of the user.

    What stood in its way is one line on stderr.
    """
    try:
        return command()
    except SearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1
