"""A Ray cluster: the connection to it, and how much room it has."""

import os
import socket
from logging import WARNING

from headbench.core.errors import UserError
from headbench.runners.execution import stops

# Seconds that a cluster has to be there.
ANSWER = 10.0


def connect(address: str | None) -> None:
    """Connect this process to a cluster: the one named, else that of ``$RAY_ADDRESS`` or of this machine, else one that
    is started on this machine and ends with this process.

    Raises:
        UserError: if Ray is not installed, or there is no such cluster.
    """
    try:
        import ray
    except ImportError:
        raise UserError("submit ray: ray is not installed: pip install 'headbench[ray]'") from None
    named = address or os.environ.get("RAY_ADDRESS")
    host, _, port = (named or "").removeprefix("ray://").rpartition(":")
    if port.isdecimal():
        try:
            socket.create_connection((host, int(port)), ANSWER).close()
        except (OSError, OverflowError) as error:  # Ray itself would try for minutes
            raise UserError(f"submit ray: no cluster at {named}: {error}") from None
    try:
        ray.init(address=address, include_dashboard=False, ignore_reinit_error=True, logging_level=WARNING)
    except (ConnectionError, RuntimeError, TimeoutError, ValueError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"submit ray: no cluster at {named or 'this machine'}: {said}") from None
    stops.heed()  # Ray has its own handler of SIGTERM


def room(cpus: float, gpus: float) -> int:
    """Return how many actors the cluster can hold at present, if nobody else uses it.

    Raises:
        UserError: if none of its nodes holds one.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    asked = {name: amount for name, amount in (("CPU", cpus), ("GPU", gpus)) if amount}
    held = [min(int(node.get(name, 0.0) / amount + 1e-6) for name, amount in asked.items()) for node in nodes]
    if not sum(held):
        most = {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in asked}
        raise UserError(
            "submit ray: no node has "
            + " and ".join(f"{amount:g} {name}s (most: {most[name]:g})" for name, amount in asked.items())
        )
    return sum(held)
