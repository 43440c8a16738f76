"""One measured figure, what it stands beside, and whether it is what we want."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """`bound` for the value itself, or (`of_ratio`) for its ratio to the reference; `least`: a lower bound."""

    bound: float
    of_ratio: bool = False
    least: bool = False

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {short(self.bound)}{'x' if self.of_ratio else ''}"


def at_most(bound: float) -> Target:
    return Target(bound)


def at_least(bound: float) -> Target:
    return Target(bound, least=True)


def ratio_at_most(bound: float) -> Target:
    return Target(bound, of_ratio=True)


def ratio_at_least(bound: float) -> Target:
    return Target(bound, of_ratio=True, least=True)


@dataclass(frozen=True)
class Figure:
    """`value` in `unit`; `reference` says what was measured beside it and gave `beside`, in the same unit."""

    group: str
    name: str
    value: float
    unit: str
    reference: str = ""
    beside: float | None = None
    target: Target | None = None
    when: str = ""
    """The start of the run that measured it."""

    @property
    def ratio(self) -> float | None:
        return self.value / self.beside if self.beside else None

    @property
    def met(self) -> bool | None:
        """None where nothing is asked for."""
        if self.target is None:
            return None
        judged = self.ratio if self.target.of_ratio else self.value
        if judged is None:
            return False
        return judged >= self.target.bound if self.target.least else judged <= self.target.bound

    def row(self) -> dict[str, Any]:
        return {**asdict(self), "asked": str(self.target or ""), "ratio": self.ratio, "pass": self.met}

    @staticmethod
    def of(row: dict[str, Any]) -> "Figure":
        """What `row` made."""
        known = {key: row[key] for key in ("group", "name", "value", "unit", "reference", "beside", "when")}
        return Figure(**known, target=Target(**row["target"]) if row["target"] else None)


def short(value: float) -> str:
    """Three digits that tell something: 1,234,567; 23.4; 0.0123."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
