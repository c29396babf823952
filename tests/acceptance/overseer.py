"""One look at probation in a process of its own, which may kill itself at an effect (see `effects`)."""

from __future__ import annotations

import keepfit


def look(at: str = "0", log: str = "effects.log") -> None:
    """Kill this process just before change number `at` of keepfit's ports; with 0 only count them."""
    if log:
        from effects import Effects

        Effects(["ports"], log, at=int(at), send=9).watch()
    with keepfit.open(".") as project:
        project.live.oversee()
