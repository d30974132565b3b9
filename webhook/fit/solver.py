"""Linear and integer programs, solved by HiGHS.

One thread and one seed, so that the same program has the same solution every time.  What ends early says how far it
got: a solution with a bound.  Source: https://ergo-code.github.io/HiGHS/stable/options/definitions/.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

INFINITY = math.inf

SECONDS = 10.0
"""Of one program.  An ordinary one takes milliseconds."""


_OPTIONS: dict[str, float] = {
    "output_flag": False,
    "threads": 1,
    "random_seed": 0,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 1e-6,
}


@dataclass(frozen=True, slots=True)
class Solution:
    """Values of the variables, and how good they are."""

    values: Sequence[float]
    """Empty if none were found."""
    cost: float
    bound: float
    """No solution costs less."""
    prices: Sequence[float]
    """What one more would cost, by row: the duals of a linear program."""
    seconds: float
    """That it took."""

    def whole(self, variable: int) -> int:
        """The value of an integer variable."""
        return round(self.values[variable])


@dataclass(slots=True)
class Program:
    """Minimise the cost of the variables, which are not negative, under the rows."""

    costs: list[float] = field(default_factory=list)
    uppers: list[float] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    rows: list[tuple[float, Mapping[int, float], float]] = field(default_factory=list)
    """Least, factors by variable, most."""

    def variable(self, cost: float = 0.0, *, most: float = INFINITY, integer: bool = True) -> int:
        """A new variable; its number."""
        self.costs.append(cost)
        self.uppers.append(most)
        self.integer.append(integer)
        return len(self.costs) - 1

    def row(self, factors: Mapping[int, float], *, least: float = -INFINITY, most: float = INFINITY) -> None:
        """PodCounts that the sum of *factors* times their variables lies between *least* and *most*."""
        self.rows.append((least, factors, most))

    def solve(self, seconds: float = SECONDS) -> Solution:
        """The best solution, as far as *seconds* suffice."""
        import highspy  # no other command has need of it, and it takes a while to load
        import numpy as np

        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(self.costs), len(self.rows)
        lp.col_cost_ = np.array(self.costs, dtype=float)
        lp.col_lower_ = np.zeros(len(self.costs))
        lp.col_upper_ = np.array(self.uppers, dtype=float)
        lp.row_lower_ = np.array([least for least, _, _ in self.rows], dtype=float)
        lp.row_upper_ = np.array([most for _, _, most in self.rows], dtype=float)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        starts = np.cumsum([0, *(len(factors) for _, factors, _ in self.rows)])
        lp.a_matrix_.start_ = starts.astype(np.int32)
        lp.a_matrix_.index_ = np.array([each for _, factors, _ in self.rows for each in factors], dtype=np.int32)
        lp.a_matrix_.value_ = np.array([each for _, factors, _ in self.rows for each in factors.values()], dtype=float)
        if any(self.integer):
            kinds = highspy.HighsVarType
            lp.integrality_ = [kinds.kInteger if whole else kinds.kContinuous for whole in self.integer]
        highs = highspy._core._Highs()  # Highs() itself prints a line to stdout before it can be told not to
        for name, value in (_OPTIONS | {"time_limit": max(seconds, 0.01)}).items():
            highs.setOptionValue(name, value)
        highs.passModel(lp)
        highs.run()
        info, solution = highs.getInfo(), highs.getSolution()
        status = highs.getModelStatus()
        known = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        if status == highspy.HighsModelStatus.kOptimal and not any(self.integer):
            bound = info.objective_function_value
        else:
            bound = info.mip_dual_bound if any(self.integer) else -INFINITY
        return Solution(
            list(solution.col_value) if known else [],
            info.objective_function_value if known else INFINITY,
            bound,
            list(solution.row_dual),
            highs.getRunTime(),
        )
