"""Comparing networks by seed: which of them may be compared, and by how much they differ.

Networks of a seed are compared if each started from its parent's recorded weights (comparing others
would compare their parents) and all were tested on equally many images.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import mode
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ttq_repro.paper.rules import Error, Quantity
from ttq_repro.report.caveats import has_own_views
from ttq_repro.report.intervals import (
    Estimate,
    level_over_seeds,
    over_seeds,
    over_seeds_and_images,
    variance_of_share,
)
from ttq_repro.report.quantities import measure, outlier
from ttq_repro.report.seeds import BySeed, CellRecords, records_of
from ttq_repro.runs.record import Record, read_records, unpack_correct
from ttq_repro.runs.run import RunKey
from ttq_repro.runs.workspace import Workspace
from ttq_repro.table import NOTHING

#: The checksums of the weights of networks.
Weights = dict[RunKey, str]


class Outcome(NamedTuple):
    """What comparisons need of a record: a few kB, so that many can be kept.

    Attributes:
        weights: the checksum of the network's weights.
        parent: the run that it started from, and the checksum of that network's weights; None for
            a network from no run of ours.
        machines: the kinds of machine that trained it.
        own_views: see :func:`ttq_repro.report.caveats.has_own_views`.
        correct, images: which of how many test images it gets right, as in the record.
        outlying: whether its final epoch is an outlier.
        values: those quantities that were asked for and that the record has.
    """

    key: RunKey
    weights: str
    parent: tuple[RunKey, str] | None
    machines: frozenset[str]
    own_views: bool | None
    correct: str
    images: int
    outlying: bool
    values: dict[Quantity, float]

    @classmethod
    def of(cls, record: Record, quantities: Iterable[Quantity] = ()) -> Self:
        parent = None
        if record.parent is not None and record.parent["identity"] is not None:
            key = RunKey(record.parent["identity"], record.seed)
            parent = key, record.parent["weights_sha256"]
        measured = {quantity: measure(record, quantity) for quantity in quantities}
        return cls(
            record.key, record.weights_sha256, parent, record.machines, has_own_views(record),
            record.correct, record.test_images, outlier(record) is not None,
            {quantity: value for quantity, value in measured.items() if value is not None},
        )  # fmt: skip

    def wrong_images(self) -> NDArray[np.bool_]:
        """Which test images it gets wrong, in the order of the test set."""
        return ~unpack_correct(self.correct, self.images)


#: The outcomes of one experiment by seed, and those with their weight in a sum.
Outcomes = Mapping[int, Outcome]
Term = tuple[float, Outcomes]


def weights_of(recorded: Iterable[Outcome]) -> Weights:
    """The checksum of every recorded network's weights, and of those of parents without a record.

    Such a parent is taken to have the weights that most of its children started from.

    Args:
        recorded: all networks, compared or not, so that every comparison finds the same.
    """
    by_key = {outcome.key: outcome for outcome in recorded}
    started_from: dict[RunKey, list[str]] = defaultdict(list)
    for outcome in by_key.values():
        if outcome.parent is not None:
            parent, weights = outcome.parent
            started_from[parent].append(weights)
    of_parents = {key: mode(sorted(weights)) for key, weights in started_from.items()}
    return of_parents | {key: outcome.weights for key, outcome in by_key.items()}


def mismatched(outcomes: Iterable[Outcome], weights: Weights) -> list[RunKey]:
    """The networks that did not start from their parent's weights; warns of each.

    Args:
        weights: those of :func:`weights_of`.
    """
    found = []
    for outcome in outcomes:
        if outcome.parent is None:
            continue
        parent, started_from = outcome.parent
        if weights[parent] != started_from:
            warnings.warn(
                f"{outcome.key} is left out: it started from other weights of {parent.identity} "
                "than those recorded; delete its record to train it again"
            )
            found.append(outcome.key)
    return found


def same_images(tested: Mapping[RunKey, int]) -> bool:
    """Whether runs were tested on equally many images; warns if they were not."""
    if len(set(tested.values())) <= 1:
        return True
    each = ", ".join(f"{key} on {images}" for key, images in tested.items())
    warnings.warn(f"not compared, because the numbers of test images differ: {each}")
    return False


def common_seeds(networks: Sequence[Outcomes]) -> list[int]:
    """The seeds that all networks have, each tested on the same images; warns of others."""
    common = set.intersection(*map(set, networks))
    return [
        seed
        for seed in sorted(common)
        if same_images({by_seed[seed].key: by_seed[seed].images for by_seed in networks})
    ]


def estimate(terms: Sequence[Term], seeds: Sequence[int], quantity: Quantity) -> Estimate:
    """A weighted sum of a quantity over networks, in its unit.

    The final errors of several networks are taken image by image, as the difference of networks
    that fail on the same images varies less than the binomial errors of the two suggest. The
    interval then covers the choice of test images, too. The error of a single network is compared
    with the paper's, which is of the same images. A top-5 error, whose images are not recorded, has
    no less variance than a share of independent images.
    """
    if quantity == Error():
        wrong = [sum(weight * one[s].wrong_images() for weight, one in terms) for s in seeds]
        interval_of = over_seeds_and_images if len(terms) > 1 else level_over_seeds
        return interval_of(100.0 * np.stack(wrong))
    values = [sum(weight * one[s].values[quantity] for weight, one in terms) for s in seeds]
    if quantity != Error(top=5):
        return over_seeds(values)
    variances = [
        weight**2 * variance_of_share(one[s].values[quantity], one[s].images)
        for weight, one in terms
        for s in seeds
    ]
    return over_seeds(values, sum(variances) / len(seeds))


def difference(ours: BySeed, theirs: BySeed) -> str:
    """The final error of ``ours`` minus that of ``theirs``, over the seeds of both, for tables."""
    networks = [{s: Outcome.of(record) for s, record in one.items()} for one in (ours, theirs)]
    seeds = common_seeds(networks)
    terms = list(zip((1.0, -1.0), networks, strict=True))
    return estimate(terms, seeds, Error()).signed() if seeds else NOTHING


def of_one_lineage(found: Sequence[CellRecords], workspace: Workspace) -> list[CellRecords]:
    """The cells without mismatched records."""
    outcomes = [Outcome.of(record) for one in found for record in one.records.values()]
    weights = weights_of([*_relatives(found, outcomes, workspace), *outcomes])
    apart = set(mismatched(outcomes, weights))
    return [
        one._replace(
            records={s: record for s, record in one.records.items() if record.key not in apart},
            left_out=tuple(s for s, record in one.records.items() if record.key in apart),
        )
        for one in found
    ]


def _relatives(
    found: Sequence[CellRecords], outcomes: Sequence[Outcome], workspace: Workspace
) -> list[Outcome]:
    """The parents, whether or not they are compared; if one lacks a record, all networks."""
    runs = {run.identity: run for one in found if (run := one.cell.run.parent)}
    parents = [Outcome.of(r) for run in runs.values() for r in records_of(run, workspace)]
    needed = {outcome.parent[0] for outcome in outcomes if outcome.parent}
    if needed <= {parent.key for parent in parents}:
        return parents
    folders = {workspace.record(one.cell.run).parents[1] for one in found}
    return [*parents, *(Outcome.of(r) for f in folders for r in read_records(f, warnings.warn))]
