"""The data of the cells that a process trains, laid when a cell starts and kept while the next ones share them."""

from pathlib import Path

import torch

from headbench.data import Dataset
from headbench.data.splits import partition
from headbench.runners.grid.config import Cell
from headbench.runners.training import parts
from headbench.runners.training.parts import Division, Parts


class Data:
    """The data of the newest cell: one data set, and its parts on the device.

    Args:
        root: the data folder.
        device: to lay them on.
    """

    def __init__(self, root: Path, device: torch.device) -> None:
        self.root, self.device = root, device
        self._loaded: tuple[str, Dataset] | None = None
        self._laid: tuple[Division, Parts] | None = None

    def dataset(self, cell: Cell) -> Dataset:
        """Return the data set of a cell.

        Raises:
            UserError: if it is missing or damaged.
        """
        source = parts.source(cell)
        if self._loaded is None or self._loaded[0] != source:
            self.drop()
            self._loaded = source, parts.load(cell.dataset, cell.dataset_options, self.root)
        return self._loaded[1]

    def parts(self, cell: Cell) -> Parts:
        """Return the parts of a cell on the device; other ones that were there are dropped first.

        Raises:
            UserError: if the data set is missing or damaged, or cannot be divided so.
        """
        division = Division.of(cell)
        if self._laid is None or self._laid[0] != division:
            self._take_up()
            dataset = self.dataset(cell)
            divided = partition(dataset, division.protocol)
            self._laid = division, parts.lay(dataset, divided, division.statistics, self.device)
        return self._laid[1]

    def drop(self) -> None:
        """Give back what the data occupy."""
        self._loaded = None
        self._take_up()

    def _take_up(self) -> None:
        self._laid = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
