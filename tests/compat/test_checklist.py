"""Every fault of the original that was reproduced, and the test that shows ours is right.

The numbers are those of the sections in which the faults of the original SmallDataAna were written down. Each
line is one fault that was seen with its unchanged code.
"""

from __future__ import annotations

from importlib import import_module

import pytest

FAULTS = {
    "1 xrData pads fields that share an axis name: 4 channels become 16": (
        "test_fields.test_fields_of_different_lengths_are_not_padded"
    ),
    "1 getVar: a threshold is written into the data": "test_fields.test_threshold_does_not_change_the_data",
    "1 LCLS-II: getFilter gives None": "test_fields.test_lcls2_has_filters_and_events",
    "1 LCLS-II: getDelay raises AttributeError": (
        "test_fields.test_lcls2_without_a_delay_says_so_and_with_a_scan_has_one"
    ),
    "1 virtual datasets of the newest HDF5 cannot be read": (
        "test_fields.test_joined_files_of_the_newest_hdf5_are_read"
    ),
    "2 addVar of a longer array keeps one value": "test_fields.test_added_arrays_must_fit_the_events",
    "2 xrData.assign: getVar of the new variable gives None": (
        "test_fields.test_variables_assigned_to_the_dataset_are_found"
    ),
    "2 nothing is saved": "test_saving.test_all_added_variables_are_there_after_python_has_ended",
    "3 getOffVar always fails": "test_derivations.test_neighbouring_off_events_are_averaged",
    "4 after one __off call all later calls drop cuts": (
        "test_cuts.test_off_calls_leave_no_trace_in_later_calls"
    ),
    "5 epics/lxt is added on top of scan/lxt": "test_delay.test_motion_that_epics_repeats_is_not_added_twice",
    "6 needs matplotlib before 3.9": "test_plots.test_the_installed_matplotlib_draws",
    "7 three edges become one bin": "test_cube_definitions.test_three_edges_are_two_bins",
    "7 [x] raises AttributeError": "test_cube_definitions.test_one_number_is_a_step_or_a_number_of_bins",
    "7 [] takes every corrected delay for a step, and adds an empty bin": (
        "test_cube_definitions.test_no_bins_are_one_bin_per_setting"
    ),
    "7 addBinVars as a list raises TypeError": (
        "test_cube_definitions.test_further_axes_as_a_list_or_a_dict"
    ),
    "7 addIdxVar raises KeyError": "test_cube_definitions.test_values_of_the_events_of_each_bin",
    "7 the cut on damage is never applied": (
        "test_cube_definitions.test_damaged_events_are_left_out_of_their_detector"
    ),
    "7 damage of raw detectors with __on or __off raises KeyError": (
        "test_cube_definitions.test_damage_of_raw_detectors_with_the_laser_on"
    ),
    "8 one axis has no standard deviation": "test_cubes.test_one_axis_has_standard_deviations",
    "8 NaN is counted in nEntries: the mean is too small": (
        "test_cubes.test_sum_over_entries_is_the_mean_though_a_third_is_nan"
    ),
    "8 nEntries of empty bins is NaN": "test_cubes.test_empty_bins_have_no_entries",
    "8 images are summed in float32": "test_cubes.test_images_are_summed_in_double_precision",
    "8 labels are edges": "test_cubes.test_labels_are_the_centres_of_the_bins",
    "8 events on the lowest edge are lost": "test_cubes.test_events_on_the_lowest_edge_are_in_the_first_bin",
}

RIGHT = {
    "8 cubes of several axes have the standard deviations of plain numpy": (
        "test_cubes.test_several_axes_agree_with_plain_numpy"
    ),
    "8 entries of six cubes": "test_original_cubes.test_entries_are_those_of_the_original",
    "8 sums of six cubes": "test_original_cubes.test_sums_of_what_is_there_are_those_of_the_original",
}
"""What the original has right, and where it is compared."""


@pytest.mark.parametrize("fault", [*FAULTS, *RIGHT])
def test_every_fault_has_its_test(fault: str) -> None:
    module, name = {**FAULTS, **RIGHT}[fault].split(".")

    assert callable(getattr(import_module(f"tests.compat.{module}"), name))


def test_no_fault_stands_twice() -> None:
    assert len(set(FAULTS.values())) == len(FAULTS)
