"""What `keepfit doctor` looks at besides where a project is served: the prediction log and the keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from keepfit.config import Config
from keepfit.idle import takes_in
from keepfit.live.keys import keys

if TYPE_CHECKING:
    from keepfit.opened_ports import OpenedPorts

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def log_found(ports: OpenedPorts, config: Config) -> Iterator[tuple[str, bool, str]]:
    """Whether the prediction log can be read, and how many labels wait in it; nothing for a project that was never served."""
    if not takes_in(config):
        return
    labelled = ports.log.rows(labelled=True, inputs=False)
    waiting = labelled.join(ports.spans.taken(), on="request_id", how="anti").height
    yield (
        "prediction log",
        True,
        f"{config.serve.log.url}: {labelled.height} labelled answers, {waiting} not yet taken into the loop",
    )


def keys_found(ports: OpenedPorts, config: Config) -> Iterator[tuple[str, bool, str]]:
    """Whether whoever can reach the server would be asked for a key that there is."""
    serve = config.serve
    if serve.authentication == "off" and serve.host not in LOOPBACK:
        yield "API keys", True, f"none are asked for on {serve.host}, as [serve] authentication = 'off' says"
    elif serve.authentication == "required" or serve.host not in LOOPBACK:
        found = len(keys(ports, config))
        yield "API keys", found > 0, f"{found} keys" if found else "there are none, so nobody is answered: `keepfit keys add NAME`"
