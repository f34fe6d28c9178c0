import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cubeengine.errors import SpecError
from cubeengine.spec.axes import Axis, axis_unit, edges_of, labels_of
from cubeengine.spec.model import CubeSpec


def test_centers_have_edges_midway():
    edges = edges_of(Axis(field="delay", centers={"start": -2, "stop": 8, "step": 0.5}, unit="ps"))
    np.testing.assert_array_equal(edges, np.linspace(-2.25, 8.25, 22))


def test_edges_are_the_decimal_numbers_a_user_means():
    edges = edges_of(Axis(field="x", edges={"start": 0, "stop": 1, "step": 0.1}))
    assert edges.tolist() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


@given(st.integers(-10_000, 10_000), st.integers(1, 500), st.integers(1, 400), st.integers(0, 6))
def test_each_edge_is_the_nearest_double_to_its_decimal(start, step, n, digits):
    scale = 10**digits
    spacing = {"start": start / scale, "stop": (start + n * step) / scale, "step": step / scale}
    edges = edges_of(Axis(field="x", edges=spacing))
    assert edges.tolist() == [(start + i * step) / scale for i in range(n + 1)]


def test_bins_divide_evenly_and_end_at_stop():
    edges = edges_of(Axis(field="x", edges={"start": 0, "stop": 1, "bins": 3}))
    np.testing.assert_allclose(edges, [0, 1 / 3, 2 / 3, 1], rtol=1e-15)
    assert edges[-1] == 1


@given(st.lists(st.integers(-10_000, 10_000), min_size=2, max_size=40, unique=True), st.integers(0, 4))
def test_listed_centers_are_the_labels_and_edges_lie_midway(numbers, digits):
    scale = 10**digits
    centers = [number / scale for number in sorted(numbers)]
    axis = Axis(field="x", centers=centers)
    assert labels_of(axis).tolist() == centers
    middle = [(low + high) / (2 * scale) for low, high in itertools.pairwise(sorted(numbers))]
    edges = edges_of(axis)
    assert edges[1:-1].tolist() == middle
    np.testing.assert_allclose(edges[[0, -1]], [2 * centers[0] - middle[0], 2 * centers[-1] - middle[-1]])
    assert (edges[:-1] < centers).all()
    assert (centers < edges[1:]).all()


@given(st.integers(-10_000, 10_000), st.integers(1, 500), st.integers(0, 400), st.integers(0, 6))
def test_spaced_centers_are_labels_to_the_bit(start, step, n, digits):
    scale = 10**digits
    spacing = {"start": start / scale, "stop": (start + n * step) / scale, "step": step / scale}
    labels = labels_of(Axis(field="x", centers=spacing))
    assert labels.tolist() == [(start + i * step) / scale for i in range(n + 1)]


def test_centers_may_carry_units_and_come_as_an_array():
    axis = Axis(field="d", centers=["-1 ps", "0 fs", "250 fs"], unit="ps")
    assert labels_of(axis).tolist() == [-1, 0, 0.25]
    assert labels_of(Axis(field="d", centers=np.array([1, 4]))).tolist() == [1, 4]


def test_bins_with_given_edges_are_labelled_at_their_middle():
    assert labels_of(Axis(field="d", edges=[0, 1, 4])).tolist() == [0.5, 2.5]


def test_one_center_is_one_bin():
    axis = Axis(field="x", centers={"start": 3, "stop": 3, "step": 1})
    assert edges_of(axis).tolist() == [2.5, 3.5]


@pytest.mark.parametrize(
    "form", [{"quantiles": 5}, {"steps": "auto"}, {"steps": "scan/lxt", "tolerance": 0.1}]
)
def test_forms_that_need_data_have_no_edges_yet(form):
    assert edges_of(Axis(field="scan/lxt", **form)) is None


def test_numbers_with_units_convert_to_the_unit_of_the_axis():
    axis = Axis(field="d", edges={"start": "0 ps", "stop": "1 ps", "step": "250 fs"}, unit="ps")
    assert edges_of(axis).tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_without_unit_the_first_number_gives_it():
    axis = Axis(field="d", edges=["-1 ps", "500 fs"])
    assert axis_unit(axis) == "ps"
    assert edges_of(axis).tolist() == [-1, 0.5]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"edges": [0, 1.5, 1.2], "unit": "ps"}, r"edges\[2\] = 1.2 comes after 1.5 \(unit ps\)"),
        ({"edges": [0, 0]}, r"must rise strictly"),
        ({"edges": [0]}, "at least 2 edges, got 1"),
        ({"edges": []}, "at least 2 edges, got 0"),
        ({"edges": [0, float("nan")]}, r"edges\[1\]: must be a finite number"),
        ({"edges": [0, 10**400]}, "finite"),
        ({"edges": {"start": 0, "stop": 1, "step": 0.3}}, "miss 'stop' 1; nearest: 0.9 or 1.2"),
        ({"edges": {"start": 0, "stop": 1, "step": -0.5}}, "above 0"),
        ({"edges": {"start": 1, "stop": 0, "step": 0.5}}, "below 'start'"),
        ({"edges": {"start": 1, "stop": 1, "bins": 2}}, "above 'start'"),
        ({"edges": {"start": 0, "stop": 1, "step": 0.5, "bins": 2}}, "either 'step' or 'bins'"),
        ({"edges": {"start": 0, "stop": 1, "step": 1e-300}}, "more than 10,000,000 bins"),
        ({"centers": {"start": 0, "stop": 1, "bins": 2}}, "needs 'step'"),
        ({"centers": [0, 1, 1]}, r"must rise strictly, but centers\[2\] = 1 comes after 1"),
        ({"centers": [3]}, "at least 2 centers, got 1"),
        ({"centers": "auto"}, "must be a list of centres or .*, but is the text 'auto'"),
        ({"quantiles": 0}, "greater than or equal to 1"),
        ({"quantiles": "3"}, "must be a whole number, but is the text '3'"),
        ({}, "exactly one of edges, centers, quantiles, steps"),
        ({"edges": [0, 1], "quantiles": 2}, "but has edges and quantiles"),
        ({"edges": [0, 1], "tolerance": 1}, "is only for 'steps'"),
        ({"steps": "auto", "tolerance": -1}, "must not be negative"),
        ({"edges": ["0 ps", 1]}, "some numbers have a unit"),
        ({"edges": ["0 ps", "1 eV"]}, "1 eV"),
        ({"edges": [0, 1], "unit": "pss"}, "unknown unit 'pss'; nearest: 'ps'"),
        ({"egdes": [0, 1]}, "unknown key 'egdes'; nearest: 'edges'"),
    ],
)
def test_what_is_wrong_with_an_axis_is_said_at_birth(given, message):
    with pytest.raises(SpecError, match=message):
        Axis(field="x", **given)


@given(st.integers(1, 1000), st.floats(-1e-10, 1e-10))
def test_rounding_of_stop_within_a_billionth_of_a_step_is_no_remainder(n, error):
    axis = Axis(field="x", edges={"start": 0, "stop": 0.1 * n + 0.1 * error, "step": 0.1})
    assert len(edges_of(axis)) == n + 1


def test_no_unit_may_be_said_of_a_field_that_has_none_declared():
    axis = {"field": "a", "edges": [0, 1], "unit": ""}
    assert CubeSpec(cube="x", axes=[axis]).axes[0].unit == ""
    with pytest.raises(SpecError, match="'a' is in 'ps', which cannot be converted to ''"):
        CubeSpec(cube="x", axes=[axis], units={"a": "ps"})
