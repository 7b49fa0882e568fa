"""What a benchmark hands back: figures, each with its floor or ceiling."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        at_least: the run fails below it.
        at_most: the run fails above it.
        aim: what the specification asks for, in words, where it is not what is enforced.
    """

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    aim: str = ""

    @property
    def is_good(self) -> bool:
        """Whether the figure keeps its bound; one without a bound is information."""
        if self.at_least is not None and self.value < self.at_least:
            return False
        return self.at_most is None or self.value <= self.at_most

    def line(self) -> str:
        """The row as it is printed."""
        bounds = [f">= {self.at_least:g}"] if self.at_least is not None else []
        bounds += [f"<= {self.at_most:g}"] if self.at_most is not None else []
        verdict = ("ok  " if self.is_good else "FAIL") if bounds else "info"
        asked = f"  [{', '.join(bounds)}]" if bounds else ""
        aim = f"  ({self.aim})" if self.aim else ""
        return f"{verdict} {self.name:<52} {self.value:>10.2f} {self.unit}{asked}{aim}"


def reached(is_reached: bool) -> str:
    """The word for a floor of the specification that is not what is enforced."""
    return "reached" if is_reached else "NOT reached"
