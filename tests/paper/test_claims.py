"""The claims are complete, consistent with the paper's numbers, and name cells that exist."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ttq_repro.paper.claims import CLAIMS, LOGS
from ttq_repro.paper.reported import TABLE1, TABLE2, TABLE3, TABLE4
from ttq_repro.paper.rules import (
    Claim,
    Density,
    Error,
    Measured,
    Network,
    SparseKernels,
    WeightedSum,
    level,
    trend,
)
from ttq_repro.runs.config import compose_config


def test_ids_are_unique() -> None:
    ids = [claim.id for claim in CLAIMS]
    assert len(set(ids)) == len(ids)


def test_a_log_is_that_of_a_claim() -> None:
    assert LOGS.keys() <= {claim.id for claim in CLAIMS}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_the_papers_own_number_passes(claim: Claim) -> None:
    _, low, high = claim.accept
    assert low < high
    if claim.id == "forward-time":  # "Less than 30%" excludes the number that it names.
        assert high < 30 < high + 1e-9
    elif claim.value is not None:
        assert low <= claim.value <= high


def is_level(claim: Claim) -> bool:
    return isinstance(claim.rule, WeightedSum) and claim.rule.is_level


def values(table: str) -> list[float | None]:
    return [c.value for c in CLAIMS if c.id.startswith(f"{table}-") and is_level(c)]


def test_every_cell_of_the_tables_is_there() -> None:
    assert values("table1") == [error for pair in TABLE1.values() for error in pair]
    assert values("table2") == [error for errors in TABLE2.values() for error in errors]
    assert values("table3") == [error for errors in TABLE3.values() for error in errors]
    ternary = [ttq.percent for _, ttq in TABLE4.values() if ttq.bits != 32]
    assert sorted(values("table4")) == sorted(ternary)


def test_shares_are_in_percent_and_their_differences_in_points() -> None:
    shares = (Error, Density, SparseKernels)
    for claim in CLAIMS:
        if isinstance(claim.rule, WeightedSum) and not claim.rule.is_level:
            assert claim.unit == "points", claim.id
        elif isinstance(claim.rule, WeightedSum) and isinstance(claim.rule.quantity, shares):
            assert claim.unit == "%", claim.id


def test_weights_of_a_rule_sum_to_what_it_says() -> None:
    for claim in CLAIMS:
        if isinstance(claim.rule, WeightedSum):
            total = sum(weight for weight, _ in claim.rule.terms)
            assert total == pytest.approx(1 if claim.rule.is_level else 0), claim.id


def test_a_trend_is_the_gain_of_the_line_from_end_to_end() -> None:
    xs = (1.0, 2.0, 5.0)
    networks = [Network("a", {"x": x}) for x in xs]
    rule = trend([(x, level(n)) for x, n in zip(xs, networks, strict=True)])
    on_a_line = {x: 7 - 3 * x for x in xs}
    assert sum(w * on_a_line[n.labels["x"]] for w, n in rule.terms) == pytest.approx(-3 * 4)


def networks() -> list[Network]:
    rules = [claim.rule for claim in CLAIMS if not isinstance(claim.rule, Measured)]
    return [network for rule in rules for _, network in rule.terms]


def test_networks_are_cells_of_artifacts() -> None:
    cells = {}
    for artifact in {network.artifact for network in networks()}:
        request = compose_config("reproduce", [f"artifact={artifact}"])
        cells[artifact] = request["artifact"]["cells"]
    for network in networks():
        found = [e for e in cells[network.artifact] if network.labels.items() <= e.items()]
        assert len(found) == 1, network


def test_the_claims_are_pure_data() -> None:
    program = (
        "import sys, ttq_repro.paper.claims; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_gaps_are_compared_without_dropout() -> None:
    """The training error is measured with dropout, if there is any, which narrows the gap."""
    (rule,) = [claim.rule for claim in CLAIMS if claim.id == "figure4-gap-narrows"]
    assert isinstance(rule, WeightedSum)
    entries = compose_config("reproduce", ["artifact=table2"])["artifact"]["cells"]
    experiments = {entry["method"]: entry["experiment"] for entry in entries}
    for _, network in rule.terms:
        experiment = experiments[network.labels["method"]]
        assert compose_config("train", [f"experiment={experiment}"])["model"]["dropout"] == 0
