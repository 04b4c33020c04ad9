"""What reading an image costs a core: ``python benchmarks/reading_cost.py`` prints a table of processor time.

The images are made here: JPEG files of ImageNet's usual size, smooth with some noise, of about 80 KB.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from headbench.data.imagenet import MEAN, SIZE, STD
from headbench.data.loading.readers import Look, Readers, Request
from headbench.runners.grid import recipes

COUNT, SIDES, NOISE, QUALITY = 40, (500, 375), 14, 90
SHOWN = (
    ("imagenet", ("weak",)),
    ("imagenet-lt", ("weak",)),
    ("imagenet-lt", ("weak", "simclr", "simclr")),
    ("imagenet", ("plain",)),
)


def made(folder: Path) -> tuple[Path, ...]:
    """Write the images; return their paths."""
    random = np.random.default_rng(0)
    paths = tuple(folder / f"{number}.JPEG" for number in range(COUNT))
    for path in paths:
        small = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        pixels = np.asarray(small.resize(SIDES, Image.Resampling.BICUBIC)) + random.normal(0, NOISE, (*SIDES[::-1], 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=QUALITY)
    return paths


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("| recipe | views | ms of a core for an image |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        paths = made(Path(folder))
        for name, views in SHOWN:
            look = Look(views, recipes.load(name, {}, "here").augmentation(), SIZE, (MEAN, STD), False)
            asked = Request(look, paths, tuple(range(COUNT)), 0)
            list(Readers(0).read([asked], pinned=False))
            start = time.process_time()
            list(Readers(0).read([asked], pinned=False))
            print(f"| `{name}` | {', '.join(views)} | {1000 * (time.process_time() - start) / COUNT:.1f} |", flush=True)


if __name__ == "__main__":
    main()
