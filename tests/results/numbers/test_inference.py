"""Inference about two heads: against closed forms, and by simulation that the intervals cover and the verdicts do not
over-claim.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from headbench.results.numbers import inference
from headbench.results.numbers.statistics import Bools, Floats, holm
from headbench.results.tables import paper_claims

HALF_POINT = 0.005
# Standard deviations of the parts of the latent score, beside noise that is uniform in [-2, 2]: image, image by head,
# seed by head. The last spreads the accuracy of a head by 1.3 points.
IMAGE, HEAD, SEED = 1.5, 1.0, 0.07
NOISE = 2.0


def expected(score: float) -> float:
    """Return the accuracy of a head whose latent score has this mean: that of the noise's distribution, averaged over
    the normal parts.
    """
    spread = math.sqrt(IMAGE**2 + HEAD**2 + SEED**2)
    below, above = (stats.norm(score + end, spread) for end in (NOISE, -NOISE))
    # E[min(max(x, 0), 2 NOISE)] / (2 NOISE) for a normal x, from E[max(x, 0)] = m Phi(m / s) + s phi(m / s).
    positive = [
        one.mean() * stats.norm.cdf(one.mean() / spread) + spread * stats.norm.pdf(one.mean() / spread)
        for one in (below, above)
    ]
    return float((positive[0] - positive[1]) / (2 * NOISE))


def drawn(n: int, images: int, accuracy: float, draws: int, seed: int) -> Iterator[tuple[Bools, Bools, Bools]]:
    """Yield the answers of three heads: two of this accuracy, and the second once more with half a point less."""
    rng = np.random.default_rng(seed)
    high, low = (
        np.float32(optimize.brentq(lambda score, a=a: expected(score) - a, -50, 50))
        for a in (accuracy, accuracy - HALF_POINT)
    )
    for _ in range(draws):
        common, latent = IMAGE * rng.standard_normal(images, dtype=np.float32), []
        for _ in range(2):
            own = common + HEAD * rng.standard_normal(images, dtype=np.float32)
            noise = 2 * NOISE * rng.random((n, images), dtype=np.float32) - NOISE
            latent.append(noise + own + SEED * rng.standard_normal((n, 1), dtype=np.float32))
        yield latent[0] > -high, latent[1] > -high, latent[1] > -low


def test_the_simulation_knows_its_truth() -> None:
    first, equal, less = next(drawn(2, 1_000_000, 0.7, 1, seed=1))
    assert expected(0) == pytest.approx(0.5)
    assert (first.mean(), equal.mean()) == (pytest.approx(0.7, abs=0.06), pytest.approx(0.7, abs=0.06))
    assert equal.mean() - less.mean() == pytest.approx(HALF_POINT, abs=5e-4)


@pytest.mark.parametrize(("images", "accuracy"), [(360, 0.95), (360, 0.7), (10_000, 0.7)])
def test_intervals_cover_and_verdicts_are_seldom_false(images: int, accuracy: float) -> None:
    """Nominal 95 %: between 91 and 99 % of 2,000 intervals hold the true difference.

    Of true zeros at most 4 % are called better, and as many worse.
    """
    draws, truths = 2000, (0.0, HALF_POINT)
    covered, said = Counter[tuple[int, float]](), Counter[tuple[int, str]]()
    for first, *others in drawn(10, images, accuracy, draws, seed=images):
        for n in (3, 5, 10):
            found = [inference.compare(first[:n], other[:n]) for other in others]
            covered.update((n, truth) for one, truth in zip(found, truths, strict=True) if one.low <= truth <= one.high)
            said.update([(n, inference.verdict(found[0], found[0].p()))])
    for n in (3, 5, 10):
        assert all(0.91 <= covered[n, truth] / draws <= 0.99 for truth in truths), covered
        assert max(said[n, "better"], said[n, "worse"]) <= 0.04 * draws, said


def test_two_seeds_give_an_interval_and_no_verdict() -> None:
    covered = 0
    for first, equal, _ in drawn(2, 360, 0.7, 500, seed=0):
        found = inference.compare(first, equal)
        covered += found.low <= 0 <= found.high
        assert inference.verdict(found, found.p()) == ""
    assert covered >= 0.9 * 500


@pytest.mark.parametrize(("n", "images", "draws"), [(3, 360, 600), (3, 10_000, 200), (5, 10_000, 100)])
def test_a_family_of_fifteen_true_nulls_gives_few_false_verdicts(n: int, images: int, draws: int) -> None:
    """Each of fifteen claims has its difference exactly at its bound; at most 6 % of the families have any verdict.

    With many images the spread over three seeds decides, and is small by chance in some of fifteen.
    """
    false, source = 0, drawn(n, images, 0.8, 15 * draws, seed=15)
    for _ in range(draws):
        found = [inference.compare(first, other) for first, other, _ in (next(source) for _ in range(15))]
        p_values = np.array(
            [
                paper_claims.p_value(one, rule, 0)[0]
                for one, rule in zip(found, 5 * ["above", "below", "reaches"], strict=True)
            ]
        )
        false += bool((holm(p_values) < 0.05).any())
    assert false <= 0.06 * draws


# Of 28 differences, how far seeds move the accuracy: their variance by that of what neither seeds nor images explain.
ALIKE = np.full(28, 3.0)
TWO_UNSTABLE = np.r_[15.0, 15.0, np.full(26, 1.5)]
A_QUARTER_UNSTABLE = np.r_[np.full(7, 30.0), np.ones(21)]


@pytest.mark.parametrize(
    ("spread", "gains"),
    [(ALIKE, True), (TWO_UNSTABLE, True), (A_QUARTER_UNSTABLE, False)],
    ids=["alike", "two", "a quarter"],
)
@pytest.mark.parametrize("n", [3, 5])
def test_a_table_lends_its_spread_without_false_verdicts(n: int, spread: Floats, gains: bool) -> None:
    """28 true nulls of 10,000 images: at most 6 % of the tables have any verdict, also where some heads are unstable.

    Where most are alike, a true difference of five standard errors is shown more often than without the others.
    """
    rng, images, false, shown = np.random.default_rng(n), 10_000, 0, Counter[bool]()
    for _ in range(300):
        by_seed = np.sqrt(spread)[:, None] * rng.standard_normal((28, n)) + rng.standard_normal((28, n))
        means = by_seed.mean(axis=1) + math.sqrt(0.1) * rng.standard_normal(28)
        squares = [(float(own), 1 + 0.1 * n, 1.0) for own in by_seed.var(axis=1, ddof=1)]
        found = [
            inference.Difference(float(mean) / 100, *inference._error(own, n, images), -1, 1, n, images, own)
            for mean, own in zip(means, squares, strict=True)
        ]
        told = inference.together(found)
        false += bool((holm(np.array([one.p() for one in told])) < 0.05).any())
        shift = 5 * math.sqrt((spread[-1] + 1) / n + 0.1) / 100
        for borrowed, one in ((True, told[-1]), (False, found[-1])):
            shown[borrowed] += one.p(-shift) < 0.05 / 28
    assert false <= 0.06 * 300
    assert (shown[True] > shown[False]) == gains


def test_no_verdict_contradicts_its_interval() -> None:
    """A head that is a little behind with each seed but one, in a table where nothing else moves with the seed."""
    rng, base = np.random.default_rng(0), np.ones((3, 10_000), dtype=bool)
    moved, calm = base.copy(), []
    for own, lost in zip(moved, (150, 40, 30), strict=True):
        own[rng.choice(10_000, lost, replace=False)] = False
    for _ in range(20):
        one = base.copy()
        for own in one:
            own[rng.choice(10_000, 60, replace=False)] = False
        calm.append(inference.compare(one, base))
    told, *_ = inference.together([inference.compare(moved, base), *calm])
    assert told.low < 0 < told.high
    assert told.p() == pytest.approx(2 * stats.t.sf(abs(told.mean) / told.error, told.df))
    assert inference.verdict(told, told.p()) == "unresolved"


def test_what_is_borrowed_is_a_mean_and_never_more_than_there_is() -> None:
    """Seeds' mean squares of twice and four times the rest, from three and five seeds; one alone borrows nothing."""
    few, many = (
        inference.Difference(0.01, 1.0, 2, 0, 0, n, 100, (times * 0.5, 0.6, 0.5)) for n, times in ((3, 2.0), (5, 4.0))
    )
    equal = inference.compare(np.ones((3, 50), dtype=bool), np.ones((3, 50), dtype=bool))
    assert inference.together([few])[0].p() == few.p()
    told = inference.together([few, many, equal])
    ratio = (2 * 2.0 + 4 * 4.0) / 6
    assert [one.borrowed for one in told] == [(pytest.approx(ratio), 4), (pytest.approx(ratio), 2), (0.0, 0)]
    # A copy of a head tells nothing more; heads that do not move with the seed borrow nothing, whatever rounding says.
    assert inference.together([few, few, many])[0].borrowed == told[0].borrowed
    for lost in range(3, 30):
        less = np.ones((3, 2000), dtype=bool)
        less[:, :lost] = False
        steady = inference.compare(np.ones((3, 2000), dtype=bool), less)
        assert inference.together([steady, few, many])[0].borrowed == (0.0, 0)
    # Of other metrics the spread is compared with the images' variance, and lent to none of accuracy.
    value = inference.of_values(np.array([0.01, 0.02, 0.06]), 1e-4)
    assert inference.together([few, value, many])[0].borrowed == told[0].borrowed
    assert inference.together([few, value, many])[1].p() == value.p()


def slow(first: Bools, second: Bools) -> tuple[float, float]:
    """The variance of the mean and its degrees of freedom, by DESIGN's words, in loops."""
    d = first.astype(float) - second
    n, images = d.shape
    of_seeds = [sum(row) / images for row in d]
    of_images = [sum(column) / n for column in d.T]
    mean = sum(of_seeds) / n
    both = (
        sum((d[i, j] - of_seeds[i] - of_images[j] + mean) ** 2 for i in range(n) for j in range(images))
        / (n - 1)
        / (images - 1)
        / n
        / images
    )
    seeds = sum((m - mean) ** 2 for m in of_seeds) / (n - 1) / n
    pictures = sum((m - mean) ** 2 for m in of_images) / (images - 1) / images
    total = max(seeds + pictures - both, seeds, pictures, both)
    return total, max(
        n - 1, total**2 / (seeds**2 / (n - 1) + pictures**2 / (images - 1) + both**2 / (n - 1) / (images - 1))
    )


def slow_p(first: Bools, second: Bools, bound: float) -> float:
    """The p-value by integration over what the variance of seeds may be: its mean square by chi-squared / (n - 1)."""
    d = first.astype(float) - second
    n, images = d.shape
    seeds = images * d.mean(axis=1).var(ddof=1)
    columns = n * d.mean(axis=0).var(ddof=1)
    residuals = d - d.mean(axis=1, keepdims=True) - d.mean(axis=0) + d.mean()
    rest = (residuals**2).sum() / (n - 1) / (images - 1)

    def tail(chi: float) -> float:
        variance = max(seeds * (n - 1) / chi + columns - rest, columns, rest) / n / images
        t = abs(d.mean() - bound) / math.sqrt(variance)
        return float(2 * stats.t.sf(t, images - 1) * stats.chi2.pdf(chi, n - 1))

    ends = [0, *(stats.chi2.ppf(share, n - 1) for share in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1 - 1e-9))]
    return math.fsum(integrate.quad(tail, *pair, limit=200)[0] for pair in itertools.pairwise(ends))


@pytest.mark.parametrize("seed", range(5))
def test_the_formula_in_loops(seed: int) -> None:
    first, second, _ = next(drawn(3 + seed, 50, 0.7, 1, seed))
    found = inference.compare(first, second)
    variance, df = slow(first, second)
    assert found.mean == pytest.approx(first.mean() - second.mean())
    assert [found.error**2, found.df] == pytest.approx([variance, df], rel=1e-9)
    half = stats.t.ppf(0.975, df) * math.sqrt(variance)
    assert [found.low, found.high] == pytest.approx([found.mean - half, found.mean + half])
    for bound in (0.01, 0.3):
        of_interval = 2 * stats.t.sf(abs(found.mean - bound) / math.sqrt(variance), df)
        expected = slow_p(first, second, bound)
        assert found.p(bound) == pytest.approx(expected if of_interval < 0.05 else max(expected, of_interval), rel=1e-4)
        assert (of_interval < 0.05) != (found.low <= bound <= found.high)
    swapped = inference.compare(second, first)
    assert [swapped.mean, swapped.low, swapped.df] == pytest.approx([-found.mean, -found.high, found.df])


def test_one_image_of_difference_has_no_interval_of_width_zero() -> None:
    """All three seeds differ by the same eight images, so the seeds' means do not spread; the images do."""
    first = np.ones((3, 360), dtype=bool)
    second = first.copy()
    second[:, :8] = False
    found = inference.compare(first, second)
    assert found.mean == pytest.approx(8 / 360)
    assert found.high - found.low > 0.02
    # The same as the interval of one paired comparison over images.
    assert found.error == pytest.approx(np.std(first[0] * 1.0 - second[0], ddof=1) / math.sqrt(360))


def test_no_image_of_difference_is_bounded_by_the_number_of_images() -> None:
    """0 of 360 images: a share of up to 1 - 0.025^(1/360) is possible.

    With 10,000 images the heads are tied, with 360 that is not resolved.
    """
    for images, said in ((360, "unresolved"), (10_000, "tied")):
        same = np.ones((3, images), dtype=bool)
        found = inference.compare(same, same)
        assert stats.binom.cdf(0, images, found.high) == pytest.approx(0.025)
        assert found.low == -found.high
        assert found.p() == 1
        assert found.p(found.high) == pytest.approx(0.05)
        assert inference.verdict(found, found.p()) == said
    perfect = inference.compare(np.ones((3, 100), dtype=bool), 0.5)
    assert (perfect.mean, perfect.p() < 1e-20, perfect.p(0.5)) == (0.5, True, 1)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2)])
def test_no_interval_has_width_zero_whatever_is_predicted(shape: tuple[int, int]) -> None:
    """Also where differences cancel in every seed and in every image, as with ((1, -1), (-1, 1)).

    None reaches beyond 100 points.
    """
    for values in itertools.product([-1, 0, 1], repeat=6):
        signs = np.array(values).reshape(shape)
        found = inference.compare(signs == 1, signs == -1)
        assert found.low < found.high, signs
        assert -1 <= found.low <= found.mean <= found.high <= 1, signs


def test_one_image_has_neither_interval_nor_p() -> None:
    found = inference.compare(np.array([[True], [False], [True]]), np.zeros((3, 1), dtype=bool))
    assert (found.mean, found.seeds, found.images) == (2 / 3, 3, 1)
    assert math.isnan(found.low)
    assert math.isnan(found.p())
    assert inference.verdict(found, found.p()) == ""


def test_no_interval_reaches_beyond_what_accuracies_can_be() -> None:
    """With two seeds of 0 and 100 % Student's t alone would reach to 685 %."""
    first = np.repeat([[True], [False]], 50, axis=1)
    first[0, 0] = False
    found = inference.compare(first, np.zeros((2, 50), dtype=bool))
    assert (found.low, found.high) == (-1, 1)
    alone = inference.compare(first, 0.3)
    assert (alone.low, alone.high) == pytest.approx((-1.3, 0.7))


def test_one_seed_has_neither_interval_nor_p() -> None:
    found = inference.compare(np.ones((1, 9), dtype=bool), np.zeros((1, 9), dtype=bool))
    assert (found.mean, found.seeds) == (1, 1)
    assert math.isnan(found.low)
    assert math.isnan(found.p())
    assert inference.verdict(found, math.nan) == ""


def test_a_tie_lies_within_both_its_bounds() -> None:
    for low, high, said in (
        (-0.004, 0.004, "tied"),
        (-0.060, 0.004, "unresolved"),
        (-0.004, 0.060, "unresolved"),
        (-0.060, 0.060, "unresolved"),
    ):
        assert inference.verdict(inference.Difference((low + high) / 2, 0.02, 9, low, high, 3, 99), 0.3) == said


def test_values_have_the_spread_of_seeds_and_the_variance_of_images() -> None:
    values = np.array([0.01, 0.03, 0.02, 0.05])
    scipys = stats.ttest_1samp(values, 0)
    without = inference.of_values(values, 0.0)
    assert (without.low, without.high) == pytest.approx(tuple(scipys.confidence_interval(0.95)))
    assert without.p() == pytest.approx(scipys.pvalue)
    assert inference.of_values(values, 1e-4).error == pytest.approx(math.sqrt(values.var(ddof=1) / 4 + 1e-4))
    assert inference.of_values(values, 1e-4).df > 3
    # Satterthwaite's: the variance of the images is known, and that of four seeds has three degrees of freedom.
    found, of_seeds = inference.of_values(values, 5e-5), values.var(ddof=1) / 4
    df = (of_seeds + 5e-5) ** 2 / (of_seeds**2 / 3)
    half = stats.t.ppf(0.975, df) * math.sqrt(of_seeds + 5e-5)
    assert found.df == pytest.approx(df)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))
    assert math.isnan(inference.of_values(np.array([0.1]), 1e-4).p())
    assert math.isnan(inference.of_values(np.array([0.1, 0.1]), 0.0).p())


def test_the_seeds_that_are_asked_for_have_the_power() -> None:
    """Pilot of five seeds.

    Where N seeds are asked for to show a point, at least 80 % of N-seed runs of a true point show it, in most pilots.
    """
    rng, enough = np.random.default_rng(3), []
    for _ in range(40):
        values = 0.01 + 0.006 * rng.standard_normal(5)
        said = inference.seeds_needed(inference.of_values(values, 0.0), 0.01)
        assert said.startswith("at least ")
        n = int(said.split()[2])
        runs = 0.01 + 0.006 * rng.standard_normal((200, n))
        enough.append((stats.ttest_1samp(runs, 0, axis=1).pvalue < 0.05).mean() >= 0.75)
    assert np.mean(enough) >= 0.75


def test_the_seeds_that_are_asked_for_by_the_formula() -> None:
    """Of answers with all three parts: the seeds' variance at its upper 80 % bound, that of the images as it is."""
    rng = np.random.default_rng(0)
    n, images = 4, 2000
    difficulty = rng.random(images)
    first = (difficulty < np.array([[0.70], [0.74], [0.78], [0.72]])) ^ (rng.random((n, images)) < 0.02)
    second = (difficulty < 0.70) ^ (rng.random((n, images)) < 0.02)
    d = first.astype(float) - second
    by_seed, by_image = d.mean(axis=1), d.mean(axis=0)
    rest = ((d - by_seed[:, None] - by_image + d.mean()) ** 2).sum() / (n - 1) / (images - 1) / images
    seeds = by_seed.var(ddof=1) * (n - 1) / stats.chi2.ppf(0.2, n - 1)
    fixed = by_image.var(ddof=1) / images - rest / n
    assert seeds > 10 * rest > 0
    assert fixed > 0
    needed = 3
    while True:
        variance = seeds / needed + fixed
        df = (needed - 1) * (variance / (seeds / needed)) ** 2
        if (stats.t.ppf(0.975, df) + stats.t.ppf(0.8, df)) * math.sqrt(variance) < d.mean():
            break
        needed += 1
    assert inference.seeds_needed(inference.compare(first, second), d.mean()) == f"at least {needed} seeds"


def test_seeds_that_agree_by_chance_are_not_asked_for_too_few() -> None:
    """Every seed has one error more, at other images each: the means do not spread, but the errors do, and four seeds
    would not show it.
    """
    rng = np.random.default_rng(0)
    first, second = np.ones((3, 400), dtype=bool), np.ones((3, 400), dtype=bool)
    for seed in range(3):
        images = rng.permutation(400)
        first[seed, images[:6]], second[seed, images[6:11]] = False, False
    found = inference.compare(second, first)
    deviation = math.sqrt(11 / 400)
    needed = ((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * deviation / found.mean) ** 2 / 400
    assert int(inference.seeds_needed(found, found.mean).split()[2]) >= 0.9 * needed > 10


def test_no_number_of_seeds_makes_up_for_few_images() -> None:
    """A difference of one image in 360: the images' spread alone is as large, so that seeds do not help."""
    first = np.zeros((3, 360), dtype=bool)
    second = first.copy()
    first[:, :10], second[:, 5:14] = True, True
    found = inference.compare(first, second)
    assert inference.seeds_needed(found, found.mean) == "more than 1000 seeds, or more test images"


def test_seeds_do_not_shrink_the_part_of_the_images() -> None:
    """Three differences of about 1.05 points, known to one point by their images: for all seeds of the world z is 1.05.
    With images that tell it to a fifth of a point the seeds that are asked for are those without that part, or more.
    """
    values = np.array([0.0100, 0.0110, 0.0105])
    said = inference.seeds_needed(inference.of_values(values, 0.01**2), 0.0105)
    assert said == "more than 1000 seeds, or more test images"
    spread = np.array([0.001, 0.02, 0.0105])
    free, bound = (
        int(inference.seeds_needed(inference.of_values(spread, variance), 0.0105).split()[2])
        for variance in (0.0, 0.002**2)
    )
    half = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert bound == pytest.approx(free / (1 - (half * 0.002 / 0.0105) ** 2), rel=0.05)


def test_values_far_apart_have_a_wide_interval_and_no_overflow() -> None:
    found = inference.of_values(np.array([1e-50, 2e-50, 3e-50]), 1e180)
    assert found.low < 0 < found.high
    assert inference.verdict(found, found.p()) == "unresolved"
