"""A bundle, checked: files by checksums and schemas, rows against the cells, and all metrics once more."""

import io
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from headbench.core.errors import DamagedError, NewerError, UserError
from headbench.data import DATASETS
from headbench.data.splits import Protocol
from headbench.heads import HEADS
from headbench.results import grid_rows, schema, store
from headbench.results.ood import cell_files
from headbench.runners.exchange import reference, rescoring
from headbench.runners.exchange.bundles import ROWS, Manifest
from headbench.runners.exchange.opening import opened
from headbench.runners.exchange.reference import Named, Reference
from headbench.runners.execution.launch import data_folder
from headbench.runners.execution.plan import display
from headbench.runners.grid.cells import TOLD_BY_THE_DATA, Cell
from headbench.runners.training import parts

# Labels that begin with a name.
LABELS = ("dataset", "backbone")
# Facts that are no part of what a cell is: another plan may have it, and say these otherwise.
FREE = {*LABELS, "head_label", "recipe", "tuned", "augmentation"} | {"protocol"}


@dataclass
class Checked:
    """What a check of a bundle found.

    Attributes:
        manifest: of the bundle.
        wrong: a line for each thing that is not as it is told.
        compared: metrics that were computed anew.
        labels: what the labels of each data set were compared with, by its label; None for nothing.
        imported: whether a cell was trained elsewhere, whose groups of classes are not checked.
    """

    manifest: Manifest
    wrong: list[str] = field(default_factory=list)
    compared: int = 0
    labels: dict[str, str | None] = field(default_factory=dict)
    imported: bool = False


def check(file: Path, data: Path | None) -> Checked:
    """Check a bundle and return what was found.

    Args:
        file: the bundle.
        data: folder of the data sets, or None for the usual one; those that are not there cannot be compared with.

    Raises:
        UserError: for a file that is no bundle, or a folder of data sets that is not there.
    """
    data_folder(data)  # named once, and not by every cell
    with opened(file) as (manifest, out):
        found = Checked(manifest)
        try:
            plan = store.read_plan(store.grid_folder(out, manifest.grid))
            rows = grid_rows.stored(out, plan)
        except (DamagedError, NewerError) as error:
            found.wrong.append(str(error))
        else:
            found.wrong += _rows(out, plan, rows, manifest)
            seen = dict[str, Reference | None]()
            planned = {cell["cell_id"]: cell for cell in plan["cells"]}
            for cell_id in manifest.cells:
                _cell(store.cell_folder(out, cell_id), planned.get(cell_id, {}), data, seen, found)
        found.wrong = [line.replace(f"{out}/", "") for line in found.wrong]
    return found


def _rows(out: Path, plan: dict[str, Any], rows: pd.DataFrame, manifest: Manifest) -> list[str]:
    """Return what is wrong with the plan and the rows of a bundle."""
    lines = []
    if plan["name"] != manifest.grid or sorted(cell["cell_id"] for cell in plan["cells"]) != sorted(manifest.cells):
        lines.append(f"{manifest.grid}/grid.yaml lists other cells than the manifest")
    lines += [f"cell {row['cell_id']}: {row['error']}" for row in rows[rows["status"] != "done"].to_dict("records")]
    try:
        told = pd.read_csv(out / manifest.grid / ROWS, dtype=str, keep_default_na=False)
    except ValueError:  # pandas' errors are of it
        told = pd.DataFrame()
    made = pd.read_csv(io.BytesIO(grid_rows.files(rows)[ROWS]), dtype=str, keep_default_na=False)
    # A newer harness may have more columns.
    common = [column for column in made if column in told]
    if "cell_id" not in common or not told[common].equals(made[common]):
        lines.append(f"{manifest.grid}/{ROWS} is not what the cells say")
    return lines


def _cell(
    folder: Path, planned: dict[str, Any], data: Path | None, seen: dict[str, Reference | None], found: Checked
) -> None:
    """Check one cell: its files, what they and the plan say that it is, its metrics, and its labels where the data set
    is at hand.
    """
    try:
        result = store.read_result(folder)
        if result is None or "purpose" in result:
            raise DamagedError(f"{folder} is no finished cell")
        store.verify(folder, result)
        for path in cell_files.paths(folder):
            cell_files.read(folder, cell_files.key_of(path))
        description = store.read_description(folder)
        facts = result["facts"]
        for file, said in (("grid.yaml", planned), ("cell.yaml", description)):
            if other := _unlike(said, facts):
                raise DamagedError(f"{folder}: {file} has other {', '.join(other)} than result.json")
        called, options = planned.get("head_display"), str(planned["head_label"]).removeprefix(facts["head"])
        if called and facts["head"] in HEADS and called != f"{display(facts['head'])} {options}".strip():
            raise DamagedError(f"{folder}: grid.yaml has head_display '{called}' for head '{facts['head']}'")
        known = _truth(facts, description, data, seen)
        label, source = facts["dataset"], None if known is None else known.source
        # Compared only if those of each of its cells were.
        found.labels[label] = None if found.labels.get(label, source) is None else source
        if known is not None:
            told = facts["data_fingerprint"]
            # Where the data set was not at hand to who imported it, it is of the labels.
            if told != known.fingerprint and not ("imported" in description and told.startswith(reference.OF_LABELS)):
                raise DamagedError(f"{folder}: its data are other ones than those of {known.source}")
            reference.check(known, store.read_predictions(folder, "test_labels")["test_labels"])
        # The groups of an imported cell are of the training images that its trainer has told.
        found.imported |= "imported" in description
        lines, count = rescoring.differing(folder, result, known)
    except (DamagedError, UserError) as error:
        found.wrong.append(str(error))
        return
    found.wrong += [f"cell {folder.name}, {line}" for line in lines]
    found.compared += count


def _unlike(told: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """Return the facts of a cell that are told otherwise elsewhere, of those that both tell; of options the ones that
    both have, as later harnesses have more, which are as before where nothing is said. A label is of its name.
    """
    compared = [name for name in schema.Facts.model_fields if name not in FREE]
    names = [name for name in compared if all(own.get(name) not in (None, "") for own in (told, facts))]
    labels = [name for name in LABELS if told.get(name) and facts.get(f"{name}_name")]
    return [
        *(name for name in labels if not str(told[name]).startswith(str(facts[f"{name}_name"]))),
        *(["head_label"] if f"{told.get('head_label', facts['head'])}(".partition("(")[0] != facts["head"] else []),
        *(
            name
            for name in names
            if name.endswith("_options") and schema.apart(told[name], facts[name], TOLD_BY_THE_DATA)
        ),
        *(name for name in names if not name.endswith("_options") and told[name] != facts[name]),
    ]


def _truth(
    facts: dict[str, Any], description: dict[str, Any], data: Path | None, seen: dict[str, Reference | None]
) -> Reference | None:
    """Return the data set of a cell, divided as the cell says, where it is at hand; without training images of its
    classes for an imported cell, and for one that another harness described.

    A data set at a path of its own is not looked for: a stranger's bundle names no files here.
    """
    try:
        cell = Cell.model_validate(description)
    except ValidationError:
        name, protocol = facts.get("dataset_name"), Protocol(imbalance_factor=facts["imbalance_factor"])
        if name not in DATASETS.names():
            return None
        try:
            options = DATASETS[name].resolve(json.loads(facts.get("dataset_options", "{}")), "dataset_options")
        except UserError:  # a later harness may have more
            return None
        dataset, divided = Named(name, options, facts["dataset"]), False
    else:
        divided = True
        try:
            DATASETS.get(cell.dataset).resolve(cell.dataset_options, "dataset_options")
        except UserError:  # a later harness may have more
            return None
        dataset, protocol = Named(cell.dataset, cell.dataset_options, facts["dataset"]), parts.protocol(cell)
    key = json.dumps([dataset.name, dataset.options, str(protocol), divided], sort_keys=True, default=str)
    if key not in seen:
        root = None if "path" in dataset.options else reference.at_hand(dataset, data)
        loaded = None if root is None else reference.lying_in(dataset, root)
        found = None if loaded is None else reference.of_data(dataset, loaded, protocol)
        seen[key] = found if found is None or divided else replace(found, nominal=None)
    return seen[key]
