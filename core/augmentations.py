"""What training images go through, as a label that tells which trainings are alike: ``crop-flip-autoaugment-cutout``.

Strengths, and the colour that Cutout fills with, are not told; nor are the views that a head contrasts, which are part
of the head.
"""

from collections.abc import Collection

from headbench.core.errors import UserError, nearest

# In the order of a label. Colour jitter is not named beside a policy, which changes colours too.
PARTS = (
    "crop",
    "flip",
    "jitter",
    "autoaugment",
    "randaugment",
    "trivialaugment",
    "threeaugment",
    "augmix",
    "cutout",
    "erasing",
    "mixup",
    "cutmix",
)
NONE = "none"


def label(parts: Collection[str]) -> str:
    """Return the label of some of ``PARTS``, ``none`` without any."""
    return "-".join(part for part in PARTS if part in parts) or NONE


def check(text: str, place: str) -> None:
    """Raise UserError, naming the place, for a text that is no label."""
    parts = text.split("-")
    unknown = [part for part in parts if part not in PARTS] if text != NONE else []
    if unknown:
        raise UserError(f"{place}: no augmentation '{text}': {nearest(unknown[0], PARTS)}")
    if text != NONE and text != label(parts):
        raise UserError(f"{place}: no augmentation '{text}': did you mean '{label(parts)}'?")
