"""The main tables of a grid."""

from headbench.results.answers import Answers
from headbench.results.tables.accuracy import accuracy_by_dim
from headbench.results.tables.base import SELECTIONS, Comparisons, Table
from headbench.results.tables.calibration import calibration
from headbench.results.tables.groups import BY_COUNT, groups


def main_tables(comparisons: Comparisons, answers: Answers) -> list[Table]:
    """Return for each comparison of a grid accuracy under each recorded selection, and calibration and groups of the
    last epoch.
    """
    tables = []
    for name, (description, rows) in comparisons.items():
        recorded = [selection for selection in SELECTIONS if (rows["selection"] == selection).any()]
        tables += [accuracy_by_dim(rows, answers, selection, description, name) for selection in recorded]
        if "last" in recorded:
            tables.append(calibration(rows, answers, "last", description, name))
            if (rows["imbalance_factor"] != 1).any() or rows[list(BY_COUNT)].notna().any().sum() > 1:
                tables.append(groups(rows, answers, "last", description, name))
    return tables
