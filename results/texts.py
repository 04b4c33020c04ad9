"""Texts of a frame, changed for where they go."""

from collections.abc import Callable

import pandas as pd


def with_texts(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Return a frame with its texts, also those of its titles, changed by a function; numbers stay."""
    texts = {
        str(name): frame[name].map(lambda value: change(value) if isinstance(value, str) else value)
        for name in frame.select_dtypes(exclude="number")
    }
    return frame.assign(**texts).rename(columns=change)
