"""Neighbouring events through the facade; faults of the original's section 3."""

from __future__ import annotations

import numpy as np
import pytest

from cubeengine import SpecError
from tests.compat.files import open_ana, write_run


def nanoseconds(timestamps):
    packed = timestamps.astype(np.int64)
    return (packed >> 32) * 10**9 + (packed & 0xFFFFFFFF)


def test_neighbouring_off_events_are_averaged(ana, truth):
    ana.addCut("ipm2/sum", 0.4, 9, "good")
    ana.addCut("tt/AMPL", 0.02, 1, "good")
    given = ana.getOffVar("diode2/channels", "good__on", nNbr=3, returnMe=True)

    columns, times = truth.columns, nanoseconds(truth.timestamps)
    off = np.flatnonzero((columns["ipm2/sum"] > 0.4) & (columns["lightStatus/laser"] == 0))
    for event in range(420):
        others = off[off != event]
        near = others[np.argsort(np.abs(times[others] - times[event]), kind="stable")[:3]]
        wanted = columns["diode2/channels"][near].astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(given[event], wanted, rtol=1e-12)
    np.testing.assert_array_equal(ana.getVar("offNbrsAv_diode2_channels_good_on_nNbr03"), given)
    assert ana.getOffVar("ipm2/sum", "good") is None
    assert ana.hasKey("offNbrsAv_ipm2_sum_good_nNbr03")
    with pytest.raises(SpecError, match="lists of the neighbours"):
        ana.getOffVar("ipm2/sum", "good", mean=False)


def test_running_median_leaves_nan_out(tmp_path):
    truth = write_run(tmp_path)
    signal = truth.columns["ipm3/sum"].copy()
    signal[[0, 50, 51, 52]] = np.nan
    ana = open_ana(write_run(tmp_path, {"ipm3/sum": signal}))
    ana.addMedianVar("ipm3/sum", windowsize=5)

    found = ana.getVar("median_ipm3_sum")
    assert np.isnan(found[0])
    for event in range(1, 420):
        assert found[event] == np.nanmedian(signal[max(event - 4, 0) : event + 1])
