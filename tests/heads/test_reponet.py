"""RePoNet: the fixed weights of both polytopes."""

import torch

from tests.heads.helpers import info, make, unsupported
from tests.heads.test_frozen_linear import reference

__all__ = ["reference"]


def test_the_simplex_is_that_of_the_paper() -> None:
    """e_1..e_d and (1 - sqrt(d+1))/d 1, centred and normalised, up to a rotation: the same Gram matrix."""
    d = 6
    points = torch.cat(
        [torch.eye(d, dtype=torch.float64), torch.full((1, d), (1 - (d + 1) ** 0.5) / d, dtype=torch.float64)]
    )
    points = torch.nn.functional.normalize(points - points.mean(dim=0), dim=1)
    weight = make("reponet-simplex", d + 1, d).state_dict()["weight"].double()
    assert torch.allclose(weight @ weight.T, points @ points.T, atol=1e-6)


def test_the_orthoplex_has_antipodal_axes() -> None:
    weight = make("reponet-orthoplex", 7, 4).state_dict()["weight"]
    assert sorted(map(tuple, weight.abs().tolist())) == sorted(map(tuple, torch.eye(4)[[0, 0, 1, 1, 2, 2, 3]].tolist()))
    assert torch.equal(weight[0::2][:3], -weight[1::2])


def test_each_has_one_dimension_only() -> None:
    for name, needed in (("reponet-simplex", 9), ("reponet-orthoplex", 5)):
        assert [dim for dim in range(1, 12) if unsupported(name, info(10), dim) is None] == [needed]
        assert f"exactly {needed} dimensions" in str(unsupported(name, info(10), 4))
