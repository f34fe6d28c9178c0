"""Signal over intensity, and its standard error.

Two ways, always named: `ratio_of_means` divides the sums over the events of a bin (each shot counts by its
intensity); `mean_of_ratio` averages what single shots give (each counts the same, weak ones with all their
noise).

References
----------
Error of a ratio of means, R = mean(y) / mean(x), to first order (delta method), with the covariance of the
two: var(R) = (var(y) - 2 R cov(x, y) + R**2 var(x)) / (n mean(x)**2), that is, the sample variance of the
residuals y - R x over n mean(x)**2: W. G. Cochran, "Sampling Techniques", 3rd ed., Wiley 1977, section 2.11,
theorem 2.5. Signal and intensity of a shot rise and fall together: neglecting the covariance makes errors
several times too large.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from cubeengine.look.moments import Moments
from cubeengine.types import FloatArray

Statistic = Literal["ratio_of_means", "mean_of_ratio"]


def ratio_of_means(moments: Moments) -> tuple[FloatArray, FloatArray]:
    """Return the ratio of the means of quantity 0 and quantity 1, and its standard error, by group.

    Parameters
    ----------
    moments : Moments
        Of the signal, the intensity, and perhaps others.

    Returns
    -------
    value, error : (g,) float64
        NaN where there is no event, or the mean intensity is 0; the error also where there is one event.

    Examples
    --------
    >>> from cubeengine.look.moments import moments_of
    >>> shots = np.array([[2.0, 4.0, 6.6], [1.0, 2.0, 3.0]])
    >>> value, error = ratio_of_means(moments_of(shots, np.zeros(3, int), 1))
    >>> value.round(3), error.round(3)
    (array([2.1]), array([0.076]))
    """
    mean, covariance = moments.means(), moments.covariances()
    base, count = np.where(mean[1] != 0, mean[1], np.nan), np.maximum(moments.count, 1)
    with np.errstate(over="ignore", invalid="ignore"):  # of a mean that is nearly 0
        ratio = mean[0] / base
        residual = covariance[0, 0] - 2 * ratio * covariance[0, 1] + ratio**2 * covariance[1, 1]
        return ratio, np.sqrt(np.maximum(residual, 0) / count) / np.abs(base)  # rounding may fall below 0


def mean_with_error(moments: Moments) -> tuple[FloatArray, FloatArray]:
    """Return the mean of quantity 0 and its standard error, std / sqrt(n) with ddof 1, by group."""
    count = np.maximum(moments.count, 1)
    return moments.means()[0], moments.stds(ddof=1)[0] / np.sqrt(count)
