"""Verdicts, from records made up to deserve them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from tests.runs.test_record import record
from ttq_repro.paper.claims import CLAIMS
from ttq_repro.paper.rules import Claim, Measured
from ttq_repro.report.authors_log import summarize
from ttq_repro.report.ledger import Judgement, Ledger, Verdict, verdict
from ttq_repro.report.statistics import Estimate
from ttq_repro.runs.cell import Cell, result_cells
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.record import Record, pack_correct

IMAGES = 10_000
BY_ID = {claim.id: claim for claim in CLAIMS}
LEVEL, DIFFERENCE = "table1-resnet20-ttq", "table1-resnet20-difference"
ORDER, TREND = "ttq-beats-full-precision-resnet32", "deeper-gains-more"
PAPER, SHORT = "paper, bf16", "short, bf16"


def cell(depth: int, column: str, setting: str = PAPER) -> Cell:
    labels = {"depth": depth, "column": column}
    cells = result_cells(compose_config("reproduce", ["artifact=table1"]))
    (found,) = [c for c in cells if c.setting == setting and c.labels == labels]
    return found


def made(cell: Cell, seed: int, wrong: int, start: int = 0) -> Record:
    """A record that is wrong on ``wrong`` images from ``start`` on."""
    correct = np.ones(IMAGES, bool)
    correct[start : start + wrong] = False
    return record(
        identity=cell.run.identity,
        seed=seed,
        test_error={"final": wrong / IMAGES},
        correct=pack_correct(correct),
        test_images=IMAGES,
    )


def judge(claim: str, records: Iterable[Record], benchmarks: Path = Path("none")) -> Judgement:
    ledger = Ledger([BY_ID[claim]])
    for one in records:
        ledger.add(one)
    (judgement,) = ledger.judge(benchmarks, None)
    return judgement


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ((880, 890, 884), Verdict.REPRODUCED),
        ((980, 990, 984), Verdict.NOT_REPRODUCED),
        ((860, 960, 880), Verdict.UNDECIDED),
        ((887,), Verdict.UNDECIDED),
        ((1500,), Verdict.UNDECIDED),
        ((), Verdict.NOT_RUN),
    ],
)
def test_a_level_is_judged_by_its_interval_over_seeds(
    wrong: tuple[int, ...], expected: Verdict
) -> None:
    network = cell(20, "ttq")
    judgement = judge(LEVEL, [made(network, seed, w) for seed, w in enumerate(wrong)])
    assert judgement.verdict == expected
    assert (judgement.ours is None) == (not wrong)
    if not wrong:
        assert judgement.commands == (network.command,)


def pairs(depth: int, *gains: int, setting: str = PAPER) -> list[Record]:
    """TTQ and full precision, seed by seed, TTQ wrong on ``gain`` images more."""
    ttq, parent = cell(depth, "ttq", setting), cell(depth, "full_precision", setting)
    records = []
    for seed, gain in enumerate(gains):
        # Seeds scatter by whole points, which pairing takes out.
        start, wrong = 1000 * seed, 800 + 100 * seed
        records += [made(parent, seed, wrong, start), made(ttq, seed, wrong + gain, start)]
    return records


@pytest.mark.parametrize(
    ("claim", "depth", "gains", "expected"),
    [
        (DIFFERENCE, 20, (64, 70, 60), Verdict.REPRODUCED),
        (DIFFERENCE, 20, (164, 170, 160), Verdict.NOT_REPRODUCED),
        (DIFFERENCE, 20, (64, 170, 10), Verdict.UNDECIDED),
        (DIFFERENCE, 20, (64,), Verdict.UNDECIDED),
        (ORDER, 32, (-30, -34, -36), Verdict.REPRODUCED),
        (ORDER, 32, (30, 34, 36), Verdict.NOT_REPRODUCED),
        (ORDER, 32, (-30, -34, 36), Verdict.UNDECIDED),
        (ORDER, 32, (-300,), Verdict.UNDECIDED),
        (ORDER, 32, (0, 0, 0), Verdict.NOT_REPRODUCED),
    ],
)
def test_a_difference_is_taken_seed_by_seed(
    claim: str, depth: int, gains: tuple[int, ...], expected: Verdict
) -> None:
    judgement = judge(claim, pairs(depth, *gains))
    assert judgement.verdict == expected
    assert judgement.ours is not None
    assert judgement.ours.value == pytest.approx(100 * np.mean(gains) / IMAGES)


def test_seeds_that_only_one_network_has_are_left_out() -> None:
    extra = made(cell(20, "ttq"), 9, 5000)
    judgement = judge(DIFFERENCE, [*pairs(20, 64, 70, 60), extra])
    assert judgement.ours is not None
    assert judgement.ours.count == 3
    assert judgement.verdict == Verdict.REPRODUCED


def test_networks_that_fail_on_other_images_differ_less_surely() -> None:
    ttq, parent = cell(32, "ttq"), cell(32, "full_precision")
    apart = [made(parent, seed, 830, 0) for seed in range(3)]
    apart += [made(ttq, seed, 800, 5000) for seed in range(3)]
    assert judge(ORDER, apart).verdict == Verdict.UNDECIDED
    nested = [
        made(network, seed, w) for seed in range(3) for network, w in ((parent, 830), (ttq, 800))
    ]
    assert judge(ORDER, nested).verdict == Verdict.REPRODUCED


def test_a_trend_takes_all_depths() -> None:
    falling = {20: 64, 32: -4, 44: -16, 56: -36}
    records = [r for depth, g in falling.items() for r in pairs(depth, g, g + 2, g - 2)]
    judgement = judge(TREND, records)
    assert judgement.verdict == Verdict.REPRODUCED
    assert judgement.ours is not None
    assert judgement.ours.value == pytest.approx(BY_ID[TREND].value, abs=0.01)
    rising = [r for depth, g in falling.items() for r in pairs(depth, -g, 2 - g, -2 - g)]
    assert judge(TREND, rising).verdict == Verdict.NOT_REPRODUCED
    assert judge(TREND, pairs(20, 64, 66, 62)).verdict == Verdict.NOT_RUN


def test_only_the_papers_budget_judges() -> None:
    network = cell(20, "ttq", SHORT)
    short = [made(network, seed, 887 + seed) for seed in range(5)]
    judgement = judge(LEVEL, short)
    assert judgement.verdict == Verdict.NOT_RUN
    assert judgement.basis == SHORT
    assert judgement.ours is not None
    assert judgement.ours.interval is not None
    assert judgement.commands == (cell(20, "ttq").command,)
    paper = made(cell(20, "ttq"), 1, 1200)
    judgement = judge(LEVEL, [*short, paper])
    assert (judgement.verdict, judgement.basis) == (Verdict.UNDECIDED, PAPER)
    assert judgement.ours is not None
    assert judgement.ours.value == pytest.approx(12)


def test_precisions_are_never_mixed() -> None:
    fp32 = "paper, fp32"
    one_each = [made(cell(20, "ttq", PAPER), 1, 887), made(cell(20, "ttq", fp32), 2, 888)]
    assert judge(LEVEL, one_each).verdict == Verdict.UNDECIDED
    more = [*one_each, *(made(cell(20, "ttq", fp32), seed, 887 + seed) for seed in (3, 4))]
    judgement = judge(LEVEL, more)
    assert (judgement.basis, judgement.verdict) == (fp32, Verdict.REPRODUCED)
    assert judgement.ours is not None
    assert judgement.ours.count == 3


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [("16.00", Verdict.REPRODUCED), ("15.99", Verdict.NOT_REPRODUCED), (None, Verdict.NOT_RUN)],
)
def test_a_measurement_needs_no_seeds(tmp_path: Path, ratio: str | None, expected: Verdict) -> None:
    claim = BY_ID["size-ternary-layers"]
    assert isinstance(claim.rule, Measured)
    if ratio is not None:
        row = claim.rule.where | {claim.rule.column: ratio}
        header, values = (",".join(f'"{x}"' for x in part) for part in (row, row.values()))
        (tmp_path / "sizes.csv").write_text(f"{header}\n{values}\n")
    judgement = judge(claim.id, [], tmp_path)
    assert judgement.verdict == expected
    assert judgement.basis == ("" if ratio is None else "sizes.csv")


def test_what_stands_in_place_of_a_measurement_is_warned_about(tmp_path: Path) -> None:
    claim = BY_ID["forward-time"]
    assert isinstance(claim.rule, Measured)
    row = claim.rule.where | {claim.rule.column: "fast"}
    (tmp_path / "inference.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    with pytest.warns(UserWarning, match=r"inference\.csv: .* is no number: fast"):
        assert judge(claim.id, [], tmp_path).verdict == Verdict.NOT_RUN


def test_the_authors_log_stands_beside_its_claim(tmp_path: Path) -> None:
    claim: Claim = BY_ID[LEVEL]
    assert claim.log is not None
    (tmp_path / claim.log.file).write_text(f"{claim.log.column}\n0.09\n0.08\n")
    (judgement,) = Ledger([claim]).judge(Path("none"), tmp_path)
    assert judgement.log == summarize([0.09, 0.08])


def test_an_interval_inside_outside_or_neither() -> None:
    def at(value: float, half_width: float | None) -> Verdict:
        return verdict(Estimate(value, 3, half_width), (1, 2))

    assert at(1.5, 0.5) == Verdict.REPRODUCED
    assert at(1.5, 0.6) == at(2.1, 0.2) == at(1.5, None) == Verdict.UNDECIDED
    assert at(2.3, 0.2) == at(0.7, 0.2) == Verdict.NOT_REPRODUCED
    assert verdict(Estimate(-3, 3, 1), (-math.inf, 0)) == Verdict.REPRODUCED
