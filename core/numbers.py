"""Numbers as a user may write them: finite and within bounds, and never a boolean or a text in their place."""

from typing import Annotated

from pydantic import Field, Strict

Flag = Annotated[bool, Strict()]
# Of epochs, images or dimensions: 1 to a million.
Count = Annotated[int, Strict(), Field(gt=0, le=1_000_000)]
# Of pixels or epochs, where there may be none.
Few = Annotated[int, Strict(), Field(ge=0, le=10_000)]
# What numpy's older generators take.
Seed = Annotated[int, Strict(), Field(ge=0, lt=2**32)]
# What float32 holds.
Number = Annotated[float, Strict(), Field(allow_inf_nan=False, ge=-3.4e38, le=3.4e38)]
Positive = Annotated[Number, Field(gt=0)]
NonNegative = Annotated[Number, Field(ge=0)]
Fraction = Annotated[Number, Field(gt=0, lt=1)]
