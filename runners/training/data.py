"""The data of the cells that a process trains, laid when a cell starts and kept while the next ones share them."""

from pathlib import Path

import torch

from headbench.data import Dataset
from headbench.data.loading.readers import Readers
from headbench.data.splits import partition
from headbench.runners.grid import plugins
from headbench.runners.grid.cells import Cell
from headbench.runners.training import features, parts
from headbench.runners.training.parts import Division, Parts


class Data:
    """The data of the newest cell: one data set, and its parts on the device.

    Args:
        root: the data folder.
        device: to lay them on.
        bf16: the precision in which a frozen backbone's features are computed.
        readers: processes that read image files, or None for as many as torch has threads.
    """

    def __init__(self, root: Path, device: torch.device, *, bf16: bool = False, readers: int | None = None) -> None:
        self.root, self.device, self.bf16 = root, device, bf16
        self.readers = Readers(readers, plugins.again())
        self._loaded: tuple[str, Dataset] | None = None
        self._laid: tuple[Division, str, str | None, Parts] | None = None

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
        """Return the parts of a cell on the device, as features where these stay the same, without the test part for
        a trial of a search; other parts that were there are dropped first.

        Raises:
            UserError: if the data set is missing or damaged, or cannot be divided so.
        """
        division, dataset = Division.of(cell), self.dataset(cell)
        source = self._source(cell, dataset, division)
        key = None if source is None else source.key
        if self._laid is None or self._laid[:3] != (division, cell.purpose, key):
            self._take_up()
            divided = partition(dataset, division.protocol)
            known = None if source is None else features.of(source, self.root)
            laid = parts.lay(
                dataset,
                divided,
                division.statistics,
                self.device,
                known,
                with_test=cell.purpose == "final",
                readers=self.readers,
            )
            self._laid = division, cell.purpose, key, laid
        return self._laid[3]

    def _source(self, cell: Cell, dataset: Dataset, division: Division) -> features.Source | None:
        """Return where the features of a cell's images come from, or None where they are other ones in every step."""
        parts.check_statistics(dataset, division.statistics)
        if not features.are_fixed(cell, dataset):
            return None
        shown = division.statistics or (dataset.mean, dataset.std)
        return features.Source(cell, dataset, shown, self.device, self.bf16)

    def drop(self) -> None:
        """Give back what the data occupy."""
        self._loaded = None
        self._take_up()
        self.readers.close()

    def _take_up(self) -> None:
        self._laid = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
