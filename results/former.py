"""What earlier harnesses wrote, read as what is written now."""

import json
from collections.abc import Mapping
from typing import Any

from headbench.results import columns

ECES = ("ece_raw", "ece_native", "ece_temperature")


def completed(facts: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a cell's facts with all that plans have not always told: axes that there were not yet, at their usual
    value, and name and options of data set and backbone, which once were in their labels alone:
    ``timm(model=resnet50)``.
    """
    added = columns.USUAL | _of_label("dataset", facts) | _of_label("backbone", facts)
    return dict(facts) | {name: value for name, value in added.items() if name not in facts}


def _of_label(choice: str, facts: Mapping[Any, Any]) -> dict[str, str]:
    if f"{choice}_name" in facts:
        return {}
    name, _, written = str(facts[choice]).partition("(")
    options = dict(part.split("=", 1) for part in written.removesuffix(")").split(", ") if "=" in part)
    return {f"{choice}_name": name, f"{choice}_options": json.dumps(options, sort_keys=True)}


def debiased(measured: dict[str, Any], native_scale: float) -> dict[str, Any]:
    """Return a selection whose ECE is debiased: before the third schema it was plug-in, with intervals of little
    coverage and one native scale for a cell.
    """
    if "ece_floor" in measured:
        return measured
    plugin = {f"{name}_plugin": measured[name] for name in ECES if name in measured}
    return (
        {"native_scale": native_scale}
        | {key: value for key, value in measured.items() if not key.startswith(ECES)}
        | plugin
    )


def of_schema_1(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result of the first schema as one of the second: it named no classes and always had 15 bins.

    Intervals and neural collapse stay unknown.
    """
    recorded = result.get("selections")
    if isinstance(recorded, dict):
        recorded = {
            name: measured | {"calibration_bins": 15} if isinstance(measured, dict) else measured
            for name, measured in recorded.items()
        }
    return result | {
        "selections": recorded,
        "class_names": [str(number) for number in range(result["facts"]["num_classes"])],
    }
