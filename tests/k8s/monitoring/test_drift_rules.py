"""PSI, its null, KL, class shift and ranges as Prometheus works them out, held to numpy and SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from tests.support.promtool import RULES, assert_values, needs_promtool, promtool, series

pytestmark = needs_promtool

# What an empty bin counts as; see rules.yaml.
FLOOR = 1e-4


def shares_of(counts):
    return np.maximum(np.array(counts) / np.sum(counts), FLOOR)


def psi(counts, reference):
    shares, reference = shares_of(counts), np.array(reference)
    return float(((shares - reference) * np.log(shares / reference)).sum())


def kullback_leibler(counts, reference):
    shares = shares_of(counts)
    return float((shares * np.log(shares / np.array(reference))).sum())


def psi_null(films, reference_films, bins):
    """The 99th percentile of the PSI without drift, after Wilson and Hilferty."""
    degrees = bins - 1
    chi_squared = degrees * (1 - 2 / (9 * degrees) + 2.326348 * np.sqrt(2 / (9 * degrees))) ** 3
    return float((1 / films + 1 / reference_films) * chi_squared)


def counted(feature, counts, reference, films=3000, labels=None, version="1.1.1", site="", counting="0x59 {}", length=60):
    """Series of a feature's bins and reference. counting: the values of a bin's counter, with {} for its count."""
    named = labels or [str(index) for index in range(len(counts))]
    of_feature = {"version": version, "site": site, "feature": feature}
    inputs = [series("cxr_drift_reference_films", f"{films}x{length}", **of_feature)]
    for label, count, share in zip(named, counts, reference, strict=True):
        inputs.append(series("cxr_drift_bin_total", counting.format(count), **of_feature, bin=label))
        inputs.append(series("cxr_drift_reference_share", f"{share!r}x{length}", **of_feature, bin=label))
    return inputs


def distribution(weights):
    return (np.array(weights) / np.sum(weights)).tolist()


def test_the_rules_are_valid():
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@st.composite
def observations(draw):
    """Counts of 100 films or more in 2 to 12 bins, some of them empty, and reference shares of these bins."""
    bins = draw(st.integers(2, 12))
    counts = draw(st.lists(st.integers(0, 5000), min_size=bins, max_size=bins).filter(lambda counts: sum(counts) >= 100))
    weights = draw(st.lists(st.integers(1, 1000), min_size=bins, max_size=bins))
    return counts, distribution(weights), draw(st.integers(50, 100_000))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(observations(), min_size=1, max_size=8))
def test_psi_kl_and_null_equal_numpys_for_any_counts(observed):
    inputs, expected = [], {}
    for index, (counts, reference, films) in enumerate(observed):
        inputs += counted(f"f{index}", counts, reference, films)
        expected[f'cxr:psi:1h{{feature="f{index}"}}'] = psi(counts, reference)
        expected[f'cxr:kl:1h{{feature="f{index}"}}'] = kullback_leibler(counts, reference)
        expected[f'cxr:psi_null:1h{{feature="f{index}"}}'] = psi_null(sum(counts), films, len(counts))
    assert_values(inputs, expected, "60m")


def test_a_day_and_a_week_are_worked_out_alike():
    counts, reference = [30, 0, 170, 100], distribution([1, 2, 3, 4])
    inputs = counted("mean", counts, reference)
    for window in ("1d", "7d"):
        assert_values(
            inputs,
            {f"cxr:psi:{window}": psi(counts, reference), f"cxr:kl:{window}": kullback_leibler(counts, reference)},
            "60m",
        )


def test_below_a_hundred_films_there_is_no_psi():
    reference = distribution([1, 1])
    few, enough = counted("mean", [99, 0], reference), counted("mean", [100, 0], reference)
    assert_values(few, {"cxr:psi:1h": None, "cxr:kl:1h": None, "cxr:psi_null:1h": None, "cxr:drift_films:1h": 99}, "60m")
    assert_values(enough, {"cxr:psi:1h": psi([100, 0], reference)}, "60m")


def test_counts_of_several_pods_are_one_distribution():
    reference = [0.5, 0.5]
    pods = [counted("mean", counts, reference) for counts in ([150, 0], [0, 150])]
    inputs = [
        each | {"series": each["series"].replace("{", f'{{pod="{index}",', 1)} for index, pod in enumerate(pods) for each in pod
    ]
    assert_values(inputs, {"cxr:psi:1h": 0.0, "cxr:drift_films:1h": 300}, "60m")


def test_two_versions_are_not_mixed():
    old = counted("mean", [200, 0], [0.5, 0.5], version="1.0.0")
    new = counted("mean", [100, 100], [0.5, 0.5], version="1.1.1")
    expected = {
        'cxr:psi:1h{version="1.0.0"}': psi([200, 0], [0.5, 0.5]),
        'cxr:psi:1h{version="1.1.1"}': 0.0,
    }
    assert_values(old + new, expected, "60m")


def test_site_profiles_of_one_version_are_not_mixed_though_their_references_have_other_bins():
    released = counted("mean", [200, 0], [0.5, 0.5])
    commissioned = counted("mean", [100, 50, 50], [0.5, 0.25, 0.25], site="mercy-2")
    expected = {
        'cxr:psi:1h{site=""}': psi([200, 0], [0.5, 0.5]),
        'cxr:psi:1h{site="mercy-2"}': 0.0,
        'cxr:psi_null:1h{site="mercy-2"}': psi_null(200, 3000, 3),
    }
    assert_values(released + commissioned, expected, "60m")


def test_the_null_is_exceeded_by_chance_in_about_one_of_a_hundred_samples():
    """The formula that the rules use, against samples: 2000 draws of 300 films and of 2000 reference films."""
    rng = np.random.default_rng(0)
    bins, films, reference_films = 10, 300, 2000
    null = psi_null(films, reference_films, bins)
    exceeded = 0
    for _ in range(2000):
        reference = rng.multinomial(reference_films, [0.1] * bins) / reference_films
        exceeded += psi(rng.multinomial(films, [0.1] * bins), reference) > null
    assert 0.004 < exceeded / 2000 < 0.02


@pytest.mark.parametrize("bins", [2, 3, 5, 10])
def test_wilson_and_hilfertys_percentile_is_that_of_chi_squared(bins):
    assert psi_null(1, 1, bins) / 2 == pytest.approx(chi2.ppf(0.99, bins - 1), rel=0.01)


def test_class_shift_is_the_largest_change_of_a_share():
    labels = ["Normal", "Pneumonia", "Tuberculosis"]
    inputs = counted("predicted_class", [50, 20, 30], [0.6, 0.3, 0.1], labels=labels)
    assert_values(inputs, {"cxr:class_shift:1d": 0.2}, "60m")


def test_films_out_of_range_are_a_share_of_the_films_of_their_feature():
    inputs = counted("resolution", [100, 100], [0.5, 0.5])
    inputs.append(series("cxr_drift_out_of_range_total", "0x59 50", version="1.1.1", feature="resolution"))
    assert_values(inputs, {"cxr:out_of_range:ratio1d": 0.25}, "60m")


@pytest.mark.parametrize(("films", "mean"), [(200, 0.55), (99, None)])
def test_mean_confidence_needs_a_hundred_films(films, mean):
    inputs = [
        series("cxr_confidence_sum", f"0x59 {films * 0.55}", version="1.1.1"),
        series("cxr_confidence_count", f"0x59 {films}", version="1.1.1"),
    ]
    assert_values(inputs, {"cxr:confidence_mean:1d": mean}, "60m")
