"""What flags, the environment and a site say of the same thing: flags win, then the environment."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from cubeengine.errors import SpecError

EXPERIMENT, RUN, SITE = "EXPERIMENT", "RUN_NUM", "CUBEENGINE_SITE"
SBATCH = {
    "partition": "SBATCH_PARTITION",
    "account": "SBATCH_ACCOUNT",
    "reservation": "SBATCH_RESERVATION",
    "qos": "SBATCH_QOS",
    "time": "SBATCH_TIMELIMIT",
}
"""Options that sbatch itself takes from the environment."""


@dataclass(slots=True)
class Choices:
    """Chooses between what is said in several places; collects warnings where flag and environment differ.

    Parameters
    ----------
    environment : mapping
        Environment variables.
    """

    environment: Mapping[str, str]
    warnings: list[str] = field(default_factory=list)  # a sentence for each difference

    def choose(self, flag: str, given: str | None, variable: str) -> str | None:
        """Return what a flag says, else the environment; None where neither says anything."""
        named = self.environment.get(variable, "").strip() or None
        if given is None:
            return named
        if named is not None and named != given:
            self.warnings.append(
                f"{flag} {shlex.quote(given)} is used, although the environment sets "
                f"{variable}={shlex.quote(named)}"
            )
        return given

    def experiment(self, given: str | None, of_spec: str | None) -> str | None:
        """Return the experiment to take in place of that of the spec; None where it is the same."""
        chosen = self.choose("--experiment", given, EXPERIMENT)
        if given is None and chosen is not None and of_spec not in (None, chosen):
            self.warnings.append(
                f"{EXPERIMENT}={shlex.quote(chosen)} is used, although the spec names {of_spec!r}"
            )
        return None if chosen == of_spec else chosen

    def runs(self, given: str | None, of_spec: int | None) -> str:
        """Return the runs as text.

        Raises
        ------
        SpecError
            If nothing says which.
        """
        chosen = self.choose("--runs", given, RUN)
        if chosen is not None:
            return chosen
        if of_spec is None:
            raise SpecError(
                f"choose the runs: --runs 12,20-35, {RUN} in the environment, or run.run in the spec"
            )
        return str(of_spec)

    def batch(self, given: Mapping[str, object]) -> dict[str, object]:
        """Return the options of sbatch that flags or the environment name."""
        chosen = dict(given)
        for name, variable in SBATCH.items():
            flag = given.get(name)
            chosen[name] = self.choose(f"--{name}", None if flag is None else str(flag), variable)
        return {name: value for name, value in chosen.items() if value is not None}
