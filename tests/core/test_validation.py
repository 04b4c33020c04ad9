"""What is wrong with a value of several kinds is one line that names its place and the nearest choice."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, PositiveFloat, ValidationError

from headbench.core.validation import one_line


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    scale: PositiveFloat | Literal["adacos"] | None = None
    mode: Literal["first", "second"] = "first"
    size: float = 1.0
    other: float = 1.0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scale": "adacoz"}, "here: scale: Input should be 'adacos' (got 'adacoz'); did you mean 'adacos'?"),
        ({"scale": "AdaCos"}, "here: scale: Input should be 'adacos' (got 'AdaCos'); did you mean 'adacos'?"),
        ({"scale": "wide"}, "here: scale: Input should be 'adacos', or a valid number (got 'wide')"),
        ({"scale": -1.0}, "here: scale: Input should be greater than 0 (got -1.0)"),
        ({"scale": [1]}, "here: scale: Input should be a valid number (got [1])"),
        ({"mode": "secnd"}, "here: mode: Input should be 'first' or 'second' (got 'secnd'); did you mean 'second'?"),
        ({"mode": 3}, "here: mode: Input should be 'first' or 'second' (got 3)"),
        ({"size": "x", "other": "x"}, "here: size: Input should be a valid number (got 'x')"),
        ({"siz": 1.0}, "here: unknown key 'siz'; did you mean 'size'? known: mode, other, scale, size"),
    ],
)
def test_a_wrong_value_is_one_line_with_the_nearest_choice(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Options(**given)
    assert one_line(refused.value, Options, "here") == said
