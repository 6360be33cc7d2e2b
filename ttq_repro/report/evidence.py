"""What the records say about a rule: its estimate, what that rests on, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ttq_repro.paper.rules import Claim, Error, Quantity, TrailingError, WeightedSum
from ttq_repro.report.caveats import views_differ
from ttq_repro.report.compare import (
    Outcome,
    Outcomes,
    Weights,
    common_seeds,
    estimate,
    mismatched,
)
from ttq_repro.report.intervals import Estimate
from ttq_repro.report.seeds import record_path, with_machines
from ttq_repro.runs.cell import Cell, commands, result_cells
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.run import RunKey
from ttq_repro.runs.workspace import Workspace

#: The budget whose runs judge claims.
JUDGING = "paper"


@dataclass(frozen=True)
class Evidence:
    """What the records say about a rule at one setting.

    Attributes:
        cells: the cell of each term; networks: its records that have the rule's quantity, without
            those that are ``left_out`` as they must not be compared.
        seeds: those that all terms have; only those whose networks differ in nothing but what the
            rule is about, if there are any. recorded: those that any term has, left out or not.
    """

    rule: WeightedSum
    cells: list[Cell]
    networks: Sequence[Outcomes]
    left_out: list[RunKey]
    seeds: list[int]
    recorded: set[int]

    @classmethod
    def of(
        cls, rule: WeightedSum, cells: list[Cell], known: Mapping[str, Outcomes], weights: Weights
    ) -> Self:
        """The evidence among ``known`` outcomes, by identity and seed.

        A single network is compared only with the paper, so its parent does not matter.
        """
        found = [
            {
                s: one
                for s, one in sorted(known.get(cell.run.identity, {}).items())
                if rule.quantity in one.values
            }
            for cell in cells
        ]
        outcomes = {one.key: one for by_seed in found for one in by_seed.values()}
        left_out = [] if rule.is_level else mismatched(outcomes.values(), weights)
        networks = [
            {s: one for s, one in by_seed.items() if one.key not in left_out} for by_seed in found
        ]
        recorded = {key.seed for key in outcomes}
        common = common_seeds(networks)
        alike = [seed for seed in common if not _differences(networks, seed)]
        return cls(rule, cells, networks, left_out, alike or common, recorded)

    @property
    def judges(self) -> bool:
        return self.cells[0].budget == JUDGING

    @property
    def lacking(self) -> list[Cell]:
        """The cells that lack a seed that another has, or must be trained again."""
        wanted = self.recorded or {1}
        by_cell = zip(self.cells, self.networks, strict=True)
        return [cell for cell, by_seed in by_cell if by_seed.keys() != wanted]

    @property
    def basis(self) -> str:
        """The setting, and in what else the training of the networks differs."""
        compared = self._compared()
        told = with_machines(self.cells[0].setting, (one.machines for one in compared))
        if views_differ(one.own_views for one in compared):
            told += ", only some with views of the images other than their parents'"
        if self.is_confounded:
            differences = {d for seed in self.seeds for d in _differences(self.networks, seed)}
            listed = " and in ".join(sorted(differences))
            told += f"; decides nothing, as networks of one seed differ in {listed}"
        return told

    @property
    def is_confounded(self) -> bool:
        """Whether what networks of one seed do not share lies behind the estimate, too."""
        return any(_differences(self.networks, seed) for seed in self.seeds)

    def estimate(self, quantity: Quantity | None = None) -> Estimate:
        """Our number, over the seeds that all terms have; of another quantity, if given."""
        weights = (weight for weight, _ in self.rule.terms)
        terms = list(zip(weights, self.networks, strict=True))
        return estimate(terms, self.seeds, quantity or self.rule.quantity)

    def trailing(self) -> float | None:
        """The same number from trailing means, if a final epoch behind it is an outlier."""
        if self.rule.quantity != Error() or not any(one.outlying for one in self._compared()):
            return None
        return self.estimate(TrailingError()).value

    def to_train(self, cells: Iterable[Cell], seeds: int) -> tuple[str, ...]:
        """The commands that train cells up to ``seeds``.

        Those that delete what is left out come first, to train it again from current parents.
        """
        by_identity = {cell.run.identity: cell for cell in self.cells}
        removals = (f"rm {record_path(by_identity[name], seed)}" for name, seed in self.left_out)
        return (*removals, *commands(cells, seeds))

    def _compared(self) -> list[Outcome]:
        return [by_seed[seed] for by_seed in self.networks for seed in self.seeds]


def _differences(networks: Sequence[Outcomes], seed: int) -> list[str]:
    """In what the networks of a seed differ besides what they are compared for.

    No interval over seeds shows what that adds to their difference if all seeds have it.
    """
    compared = [by_seed[seed] for by_seed in networks]
    found = {
        "their kind of machine": len({one.machines for one in compared}) > 1,
        "whether they saw their parents' views": views_differ(one.own_views for one in compared),
    }
    return [name for name, differs in found.items() if differs]


def cells_by_setting(claims: Sequence[Claim], workspace: Workspace) -> dict[str, list[list[Cell]]]:
    """By claim, the cells of its rule's terms at every setting at which all of them exist."""
    rules = {c.id: c.rule for c in claims if isinstance(c.rule, WeightedSum)}
    artifacts = {network.artifact for rule in rules.values() for _, network in rule.terms}
    cells = {
        name: result_cells(
            compose_config("reproduce", [f"artifact={name}"]) | {"workspace": str(workspace.root)}
        )
        for name in artifacts
    }
    return {id_: _at_each_setting(rule, cells) for id_, rule in rules.items()}


def _at_each_setting(rule: WeightedSum, cells: Mapping[str, list[Cell]]) -> list[list[Cell]]:
    """The cells of the rule's terms, in their order, at every setting that has all of them."""
    by_term = [
        {
            cell.setting: cell
            for cell in cells[network.artifact]
            if network.labels.items() <= cell.labels.items()
        }
        for _, network in rule.terms
    ]
    common = [setting for setting in by_term[0] if all(setting in found for found in by_term)]
    return [[found[setting] for found in by_term] for setting in common]
