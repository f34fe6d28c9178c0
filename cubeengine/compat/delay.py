"""The pump-probe delay and the scan, under the original's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from cubeengine.compat.cuts import LASER, Cuts
from cubeengine.compat.printing import show
from cubeengine.errors import SpecError
from cubeengine.events.derived import numbers
from cubeengine.spec.delays import DelayOffer, delay_recipes
from cubeengine.spec.derived import DelayRecipe, Derived
from cubeengine.types import FloatArray
from cubeengine.units import convert

DELAY = "delay"
NOMINAL = "delay_nominal"
PHASES = ("epics/lxt_ttc", "epics/lxt")
"""The laser's phase among the slow controls, in seconds."""
Nominal: TypeAlias = "tuple[str, dict[str, Derived], dict[str, str]]"
"""Name of the nominal delay, the formula of it where it is a sum, and units."""
TIMETOOL_NAMES = ("tt/", "tt/XPP_TIMETOOL_", "tt/TIMETOOL_", "tt/TTSPEC_")
"""What the names of the time tool's fields begin with, youngest first."""


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
    """Return the names of scan variables as the original does: none is "", one is text, more are a list."""
    names = [variable.removeprefix("scan/") for variable in variables]
    return names if len(names) > 1 else "".join(names)


class Delays(Cuts):
    """Delay and scan; see `Fields` for how a run is opened."""

    _choice: DelayChoice | None = None

    @property
    def ttCorr(self) -> str | None:
        """Field of the time tool's correction; None where the run has none."""
        return next((name for name in ("tt/ttCorr", "ttCorr/tt") if name in self._opened.fields), None)

    @property
    def ttBaseStr(self) -> str:
        """What the names of the time tool's fields begin with."""
        found = (base for base in TIMETOOL_NAMES if f"{base}AMPL" in self._opened.fields)
        return next(found, TIMETOOL_NAMES[0])

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
        """Return the pump-probe delay of every event, in ps; it is also the variable `delay`.

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
        offers = delay_recipes(self._opened)
        nominal, formula, units = self._nominal(chosen, offers)
        timetool = offers[0].recipe.timetool if chosen.use_ttCorr else None
        if timetool is not None:
            units[timetool] = self._declared(timetool, "ps")
        recipe = Derived(delay=DelayRecipe(nominal=nominal, timetool=timetool))
        self._derive({**formula, DELAY: recipe}, units)
        self._choice = chosen
        self._tell_laser(timetool)

    def _nominal(self, chosen: DelayChoice, offers: Sequence[DelayOffer]) -> Nominal:
        """Return the nominal delay: a field or a formula of several, and the units that go with it."""
        if not offers:
            raise SpecError(
                f"run {self._opened.label} has no delay: no scan of lxt, and neither an encoder nor "
                "epics/lxt that moves"
            )
        best, encoder = offers[0], next((offer for offer in offers if offer.origin == "encoder"), None)
        phase = next((name for name in PHASES if name in self._opened.fields), None)
        if best.origin == "scan":
            self._tell_double(best, phase if chosen.addLxt else None)
            return self._sum([best, *self._another(best, encoder)] if chosen.addEnc else [best])
        if best.origin == "epics" or not chosen.addLxt:
            return self._sum([best])
        if any(offer.nominal == phase and offer.same_as is not None for offer in offers):
            self._tell_double(best, phase)
            return self._sum([best])
        return self._sum([best], phase)

    def _another(self, best: DelayOffer, encoder: DelayOffer | None) -> tuple[DelayOffer, ...]:
        """Return the encoder that is to be added, unless it moves as the best delay does."""
        if encoder is None:
            raise SpecError(f"addEnc: run {self._opened.label} has no encoder that moves")
        if encoder.same_as is None:
            return (encoder,)
        self._teller.tell("double-delay", nominal=best.nominal, extra=encoder.nominal)
        return ()

    def _sum(self, offers: Sequence[DelayOffer], phase: str | None = None) -> Nominal:
        """Return one delay as it is, or the sum of several, in ps."""
        units = {offer.nominal: self._unit(offer) for offer in offers}
        if phase is not None:
            units[phase] = self._declared(phase, "s")
        if len(units) == 1:
            return offers[0].nominal, {}, units
        terms = [f"`{name}` * {convert(1.0, unit, 'ps')!r}" for name, unit in units.items()]
        return NOMINAL, {NOMINAL: Derived(expression=" + ".join(terms))}, {**units, NOMINAL: "ps"}

    def _unit(self, offer: DelayOffer) -> str:
        """Return the declared unit, else that of the convention: only that of the phase needs no words."""
        unit = self._declared(offer.nominal, "")
        if not unit and "lxt" not in offer.nominal:
            self._teller.tell("delay-unit", field=offer.nominal, unit=offer.unit)
        return unit or offer.unit

    def _declared(self, field: str, convention: str) -> str:
        return self._run.fields.unit(field) or convention

    def _tell_double(self, best: DelayOffer, phase: str | None) -> None:
        if phase is not None and np.any(numbers(self._opened.column(phase)) != 0):
            self._teller.tell("double-delay", nominal=best.nominal, extra=phase)

    def _tell_laser(self, timetool: str | None) -> None:
        if timetool is None or LASER not in self._opened.fields:
            return
        state, correction = (numbers(self._opened.column(name)) for name in (LASER, timetool))
        off, unknown = state == 0, ~np.isin(state, (0, 1))
        if np.any(correction[off] != 0) or unknown.any():
            self._teller.tell("delay-laser", off=int(off.sum()), unknown=int(unknown.sum()))

    def _prepare(self, field: str) -> None:
        if field == DELAY and self._choice is None:
            self.getDelay()
        super()._prepare(field)

    # -- scan -------------------------------------------------------------------------------------

    def getScanName(self) -> str | list[str]:
        """Return the name of what the scan moves, without `scan/`: "" for no scan, a list for several."""
        return scan_name([name for name in self._opened.scan.variables if _is_motor(name)])

    def getScanValues(self) -> tuple[str | list[str], FloatArray | list[FloatArray] | list[object]]:
        """Return the name of the scan, and its value for every event: of a delay scan the delay, in ps.

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
