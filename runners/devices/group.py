"""The processes that train one cell together, each on a device of its own, and what they tell each other.

Each shows its portion of a batch to the backbone. The features of all are gathered before the head, which sees the
whole batch in every process: so its loss and whatever it keeps of batches are those of one device, whichever head it
is.
"""

import os
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from headbench.core.batch import Portion

# For the slowest of what one process does while others wait, such as to read a data set.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class Group(Portion):
    """The processes that train one cell, from one of them; process 0 alone writes and tells of the cell."""

    @property
    def leads(self) -> bool:
        """Whether this is process 0."""
        return self.rank == 0

    def gathered(self, x: Tensor, count: int) -> Tensor:
        """Return the first ``count`` rows of x (k, ...) of all processes, in their order.

        Its gradient is that of the mean over processes, each of which computes the same loss from all rows.
        """
        whole: Tensor = _Gathered.apply(x.contiguous(), self.rank, self.size)
        return whole[:count]

    def parallel(self, module: nn.Module) -> nn.Module:
        """Give the module of every process the state of process 0; return one whose gradients are means over all.

        What gets a gradient must be the same at every step of it.
        """
        wrapped = DistributedDataParallel(module, static_graph=True)
        # What is kept of batches is the same everywhere, or, in a backbone's batch normalisation, each device's own.
        # An argument would say so too, under a name that changed with torch 2.14.
        wrapped.broadcast_buffers = False
        return wrapped

    def align(self, module: nn.Module) -> None:
        """Give the buffers of process 0 to the module of every process."""
        for buffer in module.buffers():
            whole = buffer.detach().contiguous()  # NCCL takes no other
            dist.broadcast(whole, 0)
            buffer.copy_(whole)

    def wait_for_first(self, device: torch.device) -> None:
        """Wait until process 0 has come here too."""
        told = torch.zeros(1, device=device)
        dist.broadcast(told, 0)
        told.item()  # NCCL's broadcast does not hold the host

    def leave(self) -> None:
        """End the group, in every process at the same place."""
        dist.destroy_process_group()


class _Gathered(torch.autograd.Function):
    """The rows of all processes, in order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rank: int, size: int) -> Tensor:
        ctx.own, ctx.size = slice(rank * len(x), (rank + 1) * len(x)), size
        rows = [torch.empty_like(x) for _ in range(size)]
        dist.all_gather(rows, x)
        return torch.cat(rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        # Every process has the whole loss and its gradient by all rows; the mean over processes is taken later.
        return ctx.size * gradients[0][ctx.own], None, None


def join(meeting: Path, size: int, rank: int, device: torch.device) -> Group:
    """Join the processes that meet by a new file, on the device of this one; wait for all of them."""
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all are on this machine, whatever its name resolves to
    # Of convolutions of one pixel, whose strides in memory may be written in two ways.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    store = dist.FileStore(str(meeting), size)  # type: ignore[attr-defined]
    store.set_timeout(PATIENCE)  # torch sets it for a store of its own alone
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=store,
        rank=rank,
        world_size=size,
        timeout=PATIENCE,
    )
    return Group(rank, size)


def abandon() -> None:
    """End the group of this process, if it is in one, though others or its device may be gone."""
    if not dist.is_initialized():
        return
    with suppress(RuntimeError):  # of a device that can be used no more: what led here is told
        if dist.get_backend() == "nccl" and dist.group.WORLD is not None:
            dist.group.WORLD.abort()  # else it would wait for them
        dist.destroy_process_group()
