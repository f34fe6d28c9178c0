"""The pump-probe delay and the scan, under the original's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cubeengine.compat.cuts import Cuts
from cubeengine.compat.printing import show
from cubeengine.errors import SpecError
from cubeengine.events.derived import numbers
from cubeengine.events.run import Run
from cubeengine.spec.derived import DelayRecipe, Derived
from cubeengine.types import FloatArray

DELAY = "delay"
NOMINAL = "delay_nominal"
ENCODERS = ("enc/lasDelay", "enc/lasDelay2", "enc/ch0")
EPICS = ("epics/lxt_ttc", "epics/lxt")
TIMETOOL_NAMES = ("tt/", "tt/XPP_TIMETOOL_", "tt/TIMETOOL_", "tt/TTSPEC_")
"""What the names of the time tool's fields begin with, youngest first."""
FEWEST_VALUES = 10
"""An encoder with no more distinct values than this does not move: the original's number."""
SMALLEST_RANGE = 1e-9
"""Of an encoder in ps: values that spread less than this are in another unit."""


@dataclass(frozen=True, slots=True)
class DelayChoice:
    """What the delay is made of.

    Attributes
    ----------
    use_ttCorr : bool
        Whether the time tool corrects it.
    addEnc : bool
        Whether the encoder is added to a scan of the laser's phase.
    addLxt : bool
        Whether the laser's phase is added to an encoder.
    """

    use_ttCorr: bool = True
    addEnc: bool = False
    addLxt: bool = True


def scan_name(variables: Sequence[str]) -> str | list[str]:
    """Give the names of scan variables as the original does: none is "", one is text, more are a list."""
    names = [variable.removeprefix("scan/") for variable in variables]
    return names if len(names) > 1 else "".join(names)


def timetool_fields(run: Run) -> tuple[str | None, str]:
    """Give the field of the time tool's correction, or None, and what the names of the others begin with."""
    base = next((base for base in TIMETOOL_NAMES if f"{base}AMPL" in run.fields), TIMETOOL_NAMES[0])
    correction = next((name for name in ("tt/ttCorr", "ttCorr/tt") if name in run.fields), None)
    return correction, base


def moves(run: Run, field: str, fewest: int = 1) -> bool:
    """Tell whether a field is there and has more distinct values than `fewest`."""
    return field in run.fields and len(np.unique(_finite(run, field))) > fewest


def _finite(run: Run, field: str) -> FloatArray:
    values = numbers(run.column(field))
    return values[np.isfinite(values)]


class Delays(Cuts):
    """Delay and scan; see `Fields` for how a run is opened."""

    _choice: DelayChoice | None = None

    @property
    def ttCorr(self) -> str | None:
        """Field of the time tool's correction."""
        return timetool_fields(self._opened)[0]

    @property
    def ttBaseStr(self) -> str:
        """What the names of the time tool's fields begin with."""
        return timetool_fields(self._opened)[1]

    def setDelay(
        self,
        use_ttCorr: bool | None = None,
        addEnc: bool | None = None,
        addLxt: bool | None = None,
        reset: bool = False,
    ) -> None:
        """Say what the delay is made of; see `getDelay`."""
        self.getDelay(use_ttCorr, addEnc, addLxt, reset)

    def getDelay(
        self,
        use_ttCorr: bool | None = None,
        addEnc: bool | None = None,
        addLxt: bool | None = None,
        reset: bool = False,
    ) -> FloatArray:
        """Give the pump-probe delay of every event, in ps; it is also the variable `delay`.

        Nominal delay plus time tool: the nominal one is a scan of the laser's phase (`scan/*lxt*`, in
        seconds), else an encoder, else `epics/lxt_ttc` or `epics/lxt`. Events without laser have the
        nominal one.

        Parameters
        ----------
        use_ttCorr : bool, optional
            Whether the time tool is added. Default: yes.
        addEnc : bool, optional
            Whether `enc/lasDelay` is added to a scan of the phase. Default: no.
        addLxt : bool, optional
            Whether `epics/lxt_ttc`, or `epics/lxt`, is added to an encoder. Default: yes. It is never added
            to a nominal delay that is the same motion.
        reset : bool
            Whether to go back to the defaults first.

        Returns
        -------
        (n_events,) float64
            NaN where the time tool, the nominal delay or the state of the laser is not known.

        Notes
        -----
        What is left out is as it was set before.
        """
        former = DelayChoice() if reset or self._choice is None else self._choice
        chosen = DelayChoice(
            former.use_ttCorr if use_ttCorr is None else use_ttCorr,
            former.addEnc if addEnc is None else addEnc,
            former.addLxt if addLxt is None else addLxt,
        )
        if chosen != self._choice:
            self._set_delay(chosen, again=self._choice is not None and not reset)
        return numbers(self._run.column(DELAY))

    def _set_delay(self, chosen: DelayChoice, *, again: bool) -> None:
        if again:
            self._teller.tell("delay-again", asked=chosen)
        nominal, derived, units = self._nominal(chosen)
        timetool = self._timetool() if chosen.use_ttCorr else None
        if timetool is not None:
            units[timetool] = "ps"
        recipe = DelayRecipe(nominal=nominal, timetool=timetool)
        self._derive({**derived, DELAY: Derived(delay=recipe)}, units)
        self._choice = chosen
        self._tell_laser(timetool)

    def _timetool(self) -> str | None:
        """Give the field of the correction that varies; the one of the fit where the other does not."""
        correction, base = timetool_fields(self._opened)
        fit = f"{base}FLTPOS_PS"
        if correction is not None and moves(self._opened, correction):
            return correction
        return fit if moves(self._opened, fit) else correction

    def _nominal(self, chosen: DelayChoice) -> tuple[str, dict[str, Derived], dict[str, str]]:
        """Give the nominal delay: a field, or a formula, and the units to be declared."""
        scan = next((name for name in self._opened.scan.variables if "lxt" in name), None)
        epics = next((name for name in EPICS if name in self._opened.fields), None)
        encoder = self._encoder()
        if scan is not None:
            self._tell_double(scan, epics, chosen)
            if not chosen.addEnc:
                return scan, {}, {scan: "s"}
            return self._sum(f"`{scan}` * 1e12", self._required_encoder(encoder))
        if encoder is not None:
            unit = self._encoder_unit(encoder)
            if not chosen.addLxt or epics is None:
                return encoder, {}, {encoder: unit}
            return self._sum(f"`{epics}` * 1e12", encoder)
        if epics is not None and moves(self._opened, epics):
            return epics, {}, {epics: "s"}
        raise SpecError(
            f"run {self._opened.label} has no delay: no scan of lxt, no encoder and no epics/lxt that moves"
        )

    def _sum(self, phase: str, encoder: str) -> tuple[str, dict[str, Derived], dict[str, str]]:
        factor = "" if self._encoder_unit(encoder) == "ps" else " * 1e12"
        formula = Derived(expression=f"{phase} + `{encoder}`{factor}")
        return NOMINAL, {NOMINAL: formula}, {NOMINAL: "ps"}

    def _required_encoder(self, encoder: str | None) -> str:
        if encoder is None:
            raise SpecError(f"addEnc: no encoder moves in run {self._opened.label}: {', '.join(ENCODERS)}")
        return encoder

    def _encoder(self) -> str | None:
        return next((name for name in ENCODERS if moves(self._opened, name, FEWEST_VALUES)), None)

    def _encoder_unit(self, encoder: str) -> str:
        if declared := self._run.fields.unit(encoder):
            return declared
        values = _finite(self._opened, encoder)
        if np.ptp(values) < SMALLEST_RANGE:
            raise SpecError(
                f"{encoder} spreads over {np.ptp(values):.3g}: too little for ps; declare its unit: "
                f"SmallDataAna(..., units={{{encoder!r}: 's'}})"
            )
        self._teller.tell("delay-unit", field=encoder, unit="ps")
        return "ps"

    def _tell_double(self, scan: str, epics: str | None, chosen: DelayChoice) -> None:
        if epics is not None and chosen.addLxt and np.any(_finite(self._opened, epics)):
            self._teller.tell("double-delay", nominal=scan, extra=epics)

    def _tell_laser(self, timetool: str | None) -> None:
        laser = "lightStatus/laser"
        if timetool is None or laser not in self._opened.fields:
            return
        state, correction = (numbers(self._opened.column(name)) for name in (laser, timetool))
        off, unknown = state == 0, ~np.isin(state, (0, 1))
        if np.any(correction[off] != 0) or unknown.any():
            self._teller.tell("delay-laser", off=int(off.sum()), unknown=int(unknown.sum()))

    def _prepare(self, field: str) -> None:
        if field == DELAY and self._choice is None:
            self.getDelay()
        super()._prepare(field)

    # -- scan -------------------------------------------------------------------------------------

    def getScanName(self) -> str | list[str]:
        """Give the name of what the scan moves, without `scan/`: "" for no scan, a list for several."""
        return scan_name([name for name in self._opened.scan.variables if _is_motor(name)])

    def getScanValues(self) -> tuple[str | list[str], FloatArray | list[FloatArray] | list[object]]:
        """Give the name of the scan, and its value for every event: of a delay scan the delay, in ps.

        Returns
        -------
        name : str, or list of str
            "" where there is neither a scan nor a delay.
        values : (n_events,) float64, or a list of these
            One for each name; empty without a scan.
        """
        named = self.getScanName()
        names = [named] if isinstance(named, str) else named
        if names == [""]:
            return self._delay_values()
        values = [
            self.getDelay() if "lxt" in name else numbers(self._run.column(f"scan/{name}")) for name in names
        ]
        return (names[0], values[0]) if len(names) == 1 else (names, values)

    def _delay_values(self) -> tuple[str, FloatArray | list[object]]:
        try:
            delay = self.getDelay()
        except SpecError:
            return "", []
        tool = "tt corrected" if self._choice is None or self._choice.use_ttCorr else "nominal"
        return f"delay ({tool}) [ps]", delay

    def printRunInfo(self) -> None:
        """Print how many events the run has, and what its scan moves."""
        self.nEvts(printThis=True)
        scan = self._opened.scan
        sizes = {name.removeprefix("scan/"): len(scan.values[name]) for name in scan.variables}
        points = [f"{name} with {size} points" for name, size in sizes.items()]
        if points:
            show([f"this run is a scan of {', '.join(points)}"])


def _is_motor(name: str) -> bool:
    return not name.removeprefix("scan/").startswith("var")
