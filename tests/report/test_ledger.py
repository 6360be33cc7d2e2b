"""Verdicts from made-up records."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.records import ON_CPU, ON_GPU, PROVENANCE, record
from ttq_repro.files import ROOT
from ttq_repro.paper.claims import CLAIMS, LOGS
from ttq_repro.paper.rules import Claim, Measured, below, within
from ttq_repro.report.benchmarks import look_up
from ttq_repro.report.intervals import Estimate
from ttq_repro.report.ledger import Judgement, Ledger, Verdict, verdict
from ttq_repro.report.released_log import LogSummary
from ttq_repro.runs.cell import Cell, commands, result_cells
from ttq_repro.runs.config import compose_config
from ttq_repro.runs.record import Record
from ttq_repro.runs.workspace import Workspace

IMAGES = 10_000
#: Has no records of runs by several processes.
NOWHERE = Workspace(Path("nowhere"))
BY_ID = {claim.id: claim for claim in CLAIMS}
LEVEL, DIFFERENCE = "table1-resnet20-ttq", "table1-resnet20-difference"
ORDER, TREND = "ttq-beats-full-precision-resnet32", "deeper-gains-more"
PAPER, SHORT = "paper, bf16", "short, bf16"


def cell(depth: int, method: str, setting: str = PAPER) -> Cell:
    labels = {"depth": depth, "method": method}
    request = compose_config("reproduce", ["artifact=table1"])
    cells = result_cells(request | {"workspace": str(NOWHERE.root)})
    (found,) = [c for c in cells if c.setting == setting and labels.items() <= c.labels.items()]
    return found


def made(cell: Cell, seed: int, wrong: int, start: int = 0) -> Record:
    """A record of a network that fails on ``wrong`` images, from ``start`` on."""
    return record(
        identity=cell.run.identity, seed=seed, test_images=IMAGES,
        test_error={"final": wrong / IMAGES}, wrong_from=start,
    )  # fmt: skip


def judge(claim: str, records: Iterable[Record], benchmarks: Path = Path("none")) -> Judgement:
    ledger = Ledger([BY_ID[claim]], NOWHERE)
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
        assert judgement.commands == tuple(commands([network]))


def pairs(depth: int, *gains: int, setting: str = PAPER) -> list[Record]:
    """Records of TTQ and full precision, one pair per gain: TTQ fails on that many more images."""
    ttq, parent = cell(depth, "ttq", setting), cell(depth, "full_precision", setting)
    records = []
    for seed, gain in enumerate(gains):
        # Seeds differ by whole points, which pairing cancels.
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


@pytest.mark.parametrize(("final", "told"), [(0.12, True), (0.0999, False)])
def test_an_outlying_final_epoch_has_the_trailing_means_beside_it(final: float, told: bool) -> None:
    """The verdict still rests on the final epoch."""
    parent = made(cell(20, "full_precision"), 1, 800)
    curve = [0.09] * 15 + [final]
    child = record(
        identity=cell(20, "ttq").run.identity, metrics={"test_error": curve},
        test_error={"final": final, "trailing": 0.0925}, test_images=IMAGES,
    )  # fmt: skip
    judgement = judge(DIFFERENCE, [parent, child])
    assert judgement.ours is not None
    assert judgement.ours.value == pytest.approx(100 * final - 8)
    assert (judgement.trailing is not None) == told
    if judgement.trailing is not None:
        assert judgement.trailing == pytest.approx(9.25 - 8)
    scales = judge("figure2-first-positive-scale", [child])
    assert scales.trailing is None, "of an error alone"


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
    assert judgement.ours.value == pytest.approx(-0.936)
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
    assert judgement.commands == tuple(commands([cell(20, "ttq")]))
    paper = made(cell(20, "ttq"), 1, 1200)
    judgement = judge(LEVEL, [*short, paper])
    assert (judgement.verdict, judgement.basis) == (Verdict.UNDECIDED, PAPER)
    assert judgement.ours is not None
    assert judgement.ours.value == pytest.approx(12)


@pytest.mark.parametrize(
    ("gains", "expected"),
    [((-30, -34, -36), "held"), ((30, 34, 36), "failed"), ((-30, 34, 2), None), ((-30,), None)],
)
def test_a_direction_may_hold_or_fail_at_a_shorter_budget(
    gains: tuple[int, ...], expected: str | None
) -> None:
    shorter = judge(ORDER, pairs(32, *gains, setting=SHORT))
    assert (shorter.verdict, shorter.at_shorter_budget) == (Verdict.NOT_RUN, expected)
    assert judge(ORDER, pairs(32, *gains)).at_shorter_budget is None


def test_how_far_is_not_judged_at_a_shorter_budget() -> None:
    assert judge(DIFFERENCE, pairs(20, 64, 70, 60, setting=SHORT)).at_shorter_budget is None
    short = [made(cell(20, "ttq", SHORT), seed, 887 + seed) for seed in range(5)]
    assert judge(LEVEL, short).at_shorter_budget is None


def test_the_basis_says_where_machines_are_mixed() -> None:
    network = cell(20, "ttq")
    cpu, gpu = PROVENANCE | ON_CPU, PROVENANCE | ON_GPU
    records = [replace(made(network, seed, 887), provenance=cpu) for seed in (1, 2)]
    assert judge(LEVEL, records).basis == PAPER
    mixed = [records[0], replace(records[1], provenance=gpu)]
    assert judge(LEVEL, mixed).basis == f"{PAPER}, CPU and GPU"


@pytest.mark.parametrize("setting", [PAPER, SHORT])
def test_what_networks_of_a_seed_do_not_share_decides_nothing(setting: str) -> None:
    """If TTQ alone, or one of its seeds, was trained on a GPU."""
    usual = pairs(32, -30, -34, -36, setting=setting)
    decided = judge(ORDER, usual)
    verdicts = decided.verdict, decided.at_shorter_budget
    assert (
        verdicts == {PAPER: (Verdict.REPRODUCED, None), SHORT: (Verdict.NOT_RUN, "held")}[setting]
    )
    alike = [replace(one, provenance=PROVENANCE | ON_GPU) for one in usual]
    assert judge(ORDER, alike).verdict == decided.verdict
    apart = judge(ORDER, [*usual[::2], *alike[1::2]])
    undecided = {PAPER: Verdict.UNDECIDED, SHORT: Verdict.NOT_RUN}[setting]
    assert (apart.verdict, apart.at_shorter_budget) == (undecided, None)
    assert apart.ours == decided.ours
    assert apart.basis == (
        f"{setting}, CPU and GPU; decides nothing, as networks of one seed differ in their kind of "
        "machine"
    )
    beside = judge(ORDER, [usual[0], alike[1], *usual[2:]])
    assert beside.ours == judge(ORDER, usual[2:]).ours, "only seeds that share it count"
    assert beside.basis == setting


def test_evidence_that_decides_nothing_does_not_hide_what_does() -> None:
    decisive = pairs(32, -30, -34, -36, setting="paper, fp32")
    apart = [
        replace(one, provenance=PROVENANCE | (ON_GPU if place % 2 else ON_CPU))
        for place, one in enumerate(pairs(32, -30, -34, -36, -32))
    ]
    judgement = judge(ORDER, [*decisive, *apart])
    assert (judgement.verdict, judgement.basis) == (Verdict.REPRODUCED, "paper, fp32")


def test_nor_do_views_of_the_images_that_only_some_had() -> None:
    falling = {20: 64, 32: -4, 44: -16, 56: -36}
    by_depth = {depth: pairs(depth, g, g + 2, g - 2) for depth, g in falling.items()}
    before, after = (PROVENANCE | {"finished": f"2026-11-{day}T12:00:00+00:00"} for day in (27, 28))

    def trend(*own_views: int) -> Judgement:
        parent = {"identity": None, "weights_sha256": "p"}
        records = [
            replace(one, parent=parent, provenance=after if depth in own_views else before)
            for depth, some in by_depth.items()
            for one in some
        ]
        return judge(TREND, records)

    assert trend().verdict is trend(*by_depth).verdict is Verdict.REPRODUCED
    mixed = trend(32, 44, 56)
    assert mixed.verdict is Verdict.UNDECIDED
    assert mixed.basis == (
        f"{PAPER}, only some with views of the images other than their parents'; decides nothing, "
        "as networks of one seed differ in whether they saw their parents' views"
    )


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
    ("id_", "ratio", "expected"),
    [
        ("size-resnet20", "15.01", Verdict.REPRODUCED),
        ("size-resnet20", "14.99", Verdict.NOT_REPRODUCED),
        ("size-resnet20", None, Verdict.NOT_RUN),
        ("size-ternary-layers", "16.00", Verdict.BY_CONSTRUCTION),
        ("size-ternary-layers", "15.99", Verdict.NOT_REPRODUCED),
    ],
)
def test_a_measurement_needs_no_seeds(
    tmp_path: Path, id_: str, ratio: str | None, expected: Verdict
) -> None:
    claim = BY_ID[id_]
    assert isinstance(claim.rule, Measured)
    if ratio is not None:
        row = claim.rule.where | {claim.rule.column: ratio}
        header, values = (",".join(f'"{x}"' for x in part) for part in (row, row.values()))
        (tmp_path / "sizes.csv").write_text(f"{header}\n{values}\n")
    judgement = judge(claim.id, [], tmp_path)
    assert judgement.verdict == expected
    assert judgement.basis == ("" if ratio is None else "sizes.csv")


@pytest.mark.parametrize(("cell", "named"), [(["fast"], "'fast'"), ([], "''"), (["60"], "''")])
def test_what_stands_in_place_of_a_measurement_is_warned_about(
    cell: list[str], named: str, tmp_path: Path
) -> None:
    """Also where a row ends early, and where there is no column of intervals."""
    claim = BY_ID["forward-time"]
    assert isinstance(claim.rule, Measured)
    header = ",".join([*claim.rule.where, claim.rule.column])
    (tmp_path / "inference.csv").write_text(
        f"{header}\n{','.join([*claim.rule.where.values(), *cell])}\n"
    )
    with pytest.warns(UserWarning, match=rf"inference\.csv: not a number: {named}"):
        assert judge(claim.id, [], tmp_path).verdict == Verdict.NOT_RUN


def test_the_authors_log_stands_beside_its_claim(tmp_path: Path) -> None:
    log = LOGS[LEVEL]
    (tmp_path / log.file).write_text(f"{log.column}\n0.09\n0.08\n")
    (judgement,) = Ledger([BY_ID[LEVEL]], NOWHERE).judge(Path("none"), tmp_path)
    assert judgement.log == str(LogSummary.of(np.array([0.09, 0.08])))


def test_scales_and_drops_are_read_off_the_log_too(tmp_path: Path) -> None:
    ids = "figure2-last-linear-positive-scale", "figure4-drop-at-64"
    scale, dropping = (LOGS[id_] for id_ in ids)
    (tmp_path / scale.file).write_text(f"{scale.column}\n0.15\n1\n2.25\n")
    errors = "\n".join(["0.5"] * 64 + ["0.49"] * 16)
    (tmp_path / dropping.file).write_text(f"{dropping.column}\n{errors}\n")
    change, fall = Ledger([BY_ID[id_] for id_ in ids], NOWHERE).judge(Path("none"), tmp_path)
    assert change.log == "0.15 after epoch 1, 2.25 after epoch 3"
    assert fall.log == "-1.00"


def test_a_log_that_is_not_there_is_warned_about(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"there is no authors_log_resnet20"):
        (judgement,) = Ledger([BY_ID[LEVEL]], NOWHERE).judge(Path("none"), tmp_path)
    assert judgement.log is None


def test_seeds_of_their_own_are_no_difference_and_say_what_to_train() -> None:
    ttq, parent = cell(20, "ttq"), cell(20, "full_precision")
    apart = [made(parent, seed, 830) for seed in (1, 2)] + [made(ttq, seed, 800) for seed in (3, 4)]
    judgement = judge(DIFFERENCE, apart)
    assert judgement.verdict == Verdict.NOT_RUN
    assert judgement.ours is None
    (command,) = judgement.commands
    assert " SEEDS=4 DATA_DIR=" in command


def test_what_is_undecided_asks_for_more_seeds() -> None:
    judgement = judge(DIFFERENCE, pairs(20, 64, 170, 10))
    assert judgement.verdict == Verdict.UNDECIDED
    assert all(" SEEDS=4 DATA_DIR=" in command for command in judgement.commands)


def test_a_child_of_another_parent_is_not_compared() -> None:
    parent, child = pairs(20, 64)
    mother = {"identity": parent.identity, "weights_sha256": "of another"}
    with pytest.warns(UserWarning, match="is left out: it started from other weights"):
        judgement = judge(DIFFERENCE, [parent, replace(child, parent=mother)])
    assert judgement.ours is None
    known = mother | {"weights_sha256": parent.weights_sha256}
    assert judge(DIFFERENCE, [parent, replace(child, parent=known)]).ours is not None


def test_what_is_left_out_says_what_to_delete_and_to_train() -> None:
    parent, child = pairs(20, 64, 70)[2:]
    mother = {"identity": parent.identity, "weights_sha256": "of another"}
    stale = replace(child, seed=2, parent=mother)
    with pytest.warns(UserWarning, match="is left out"):
        judgement = judge(DIFFERENCE, [replace(parent, seed=2), stale])
    assert judgement.verdict == Verdict.NOT_RUN
    assert judgement.commands == (
        f"rm .../results/records/cifar10/{child.identity}/seed2.json",
        "make reproduce-table1 BUDGET=paper DEPTHS=20 PRECISION=bf16 SEEDS=2 DATA_DIR=... "
        "WORKSPACE=... METHODS=ttq",
    )


def test_the_recorded_parent_says_which_child_is_mismatched() -> None:
    """Even if the parent is not part of the claim, and whichever child comes first."""
    claim = "ttq-beats-twn-resnet20"
    ttq, twn = (network for _, network in BY_ID[claim].rule.terms)
    assert (ttq.labels["method"], twn.labels["method"]) == ("ttq", "twn")
    comparison = result_cells(compose_config("reproduce", ["artifact=comparison"]))
    by_method = {c.labels["method"]: c for c in comparison if c.setting == PAPER}
    parent = replace(made(by_method["full_precision"], 1, 800), weights_sha256="now")
    children = {
        method: replace(
            made(by_method[method], 1, 900),
            parent={"identity": parent.identity, "weights_sha256": weights},
        )
        for method, weights in (("ttq", "before"), ("twn", "now"))
    }
    with pytest.warns(UserWarning, match=r"resnet20-ttq-\S+ seed 1 is left out") as caught:
        judgement = judge(claim, [*children.values(), parent])
    assert not [warning for warning in caught if "twn" in str(warning.message)]
    removed = f"cifar10/{children['ttq'].identity}/seed1.json"
    assert judgement.commands[0] == f"rm .../results/records/{removed}"
    level = judge(LEVEL, [children["ttq"], parent])
    assert level.ours is not None, "the paper's number is that of any parent"


def test_networks_tested_on_other_images_are_not_compared() -> None:
    parent, child, *others = pairs(20, 64, 70)
    fewer = record(identity=child.identity, seed=child.seed, test_images=6000)
    with pytest.warns(
        UserWarning, match="the numbers of test images differ: .* on 6000, .* on 10000"
    ):
        judgement = judge(DIFFERENCE, [parent, fewer, *others])
    assert judgement.ours is not None
    assert judgement.ours.count == 1


def test_nor_are_their_other_quantities() -> None:
    """The gap between test and training error, whose interval does not cover images."""
    table2 = result_cells(compose_config("reproduce", ["artifact=table2"]))
    by_method = {c.labels["method"]: c.run.identity for c in table2 if c.setting == PAPER}
    identities = by_method["ttq"], by_method["full_precision_no_dropout"]
    gap = {"metrics": {"train_error": [0.25]}, "test_error": {"final": 0.5}}
    alike = [record(identity=identity, **gap) for identity in identities]
    found = judge("figure4-gap-narrows", alike).ours
    assert found is not None
    assert found.value == pytest.approx(0)
    fewer = record(identity=identities[1], test_images=500, **gap)
    with pytest.warns(UserWarning, match="the numbers of test images differ"):
        assert judge("figure4-gap-narrows", [alike[0], fewer]).ours is None


@pytest.mark.parametrize(
    ("spread", "expected"),
    [
        ("20.0 to 29.0", Verdict.REPRODUCED),
        ("20.0 to 35.0", Verdict.UNDECIDED),
        ("31.0 to 45.0", Verdict.NOT_REPRODUCED),
    ],
)
def test_a_timing_is_judged_by_its_interval_on_the_last_date(
    spread: str, expected: Verdict, tmp_path: Path
) -> None:
    claim = BY_ID["forward-time"]
    assert isinstance(claim.rule, Measured)
    low, _, high = spread.partition(" to ")
    middle = str((float(low) + float(high)) / 2)
    for name, value in (("z_2026-01-01", "99"), ("a_2026-02-01", middle)):
        row = claim.rule.where | {"percent of float32": value, "percent, 95%": spread}
        with (tmp_path / f"inference_{name}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(row))
            writer.writeheader()
            writer.writerow(row)
    judgement = judge(claim.id, [], tmp_path)
    assert judgement.basis == "inference_a_2026-02-01.csv"
    assert judgement.verdict == expected


def test_a_measurement_whose_name_begins_alike_is_another(tmp_path: Path) -> None:
    claim = BY_ID["two-multiplications"]
    assert isinstance(claim.rule, Measured)
    for name, value in (("operations", "2.00"), ("operations_by_layer", "1.00")):
        row = claim.rule.where | {claim.rule.column: value}
        header, values = (",".join(f'"{x}"' for x in part) for part in (row, row.values()))
        (tmp_path / f"{name}.csv").write_text(f"{header}\n{values}\n")
    judgement = judge(claim.id, [], tmp_path)
    assert (judgement.basis, judgement.verdict) == ("operations.csv", Verdict.BY_CONSTRUCTION)


MEASURED = [claim for claim in CLAIMS if isinstance(claim.rule, Measured)]


@pytest.mark.parametrize("claim", MEASURED, ids=lambda claim: claim.id)
def test_the_committed_benchmarks_hold_what_the_rules_ask_for(claim: Claim) -> None:
    assert isinstance(claim.rule, Measured)
    assert look_up(claim.rule, ROOT / "results" / "benchmarks") is not None


@pytest.mark.parametrize("renamed", ["whole x", "network"])
def test_a_benchmark_without_the_row_or_column_is_warned_about(
    renamed: str, tmp_path: Path
) -> None:
    rule = BY_ID["size-resnet20"].rule
    assert isinstance(rule, Measured)
    row = {
        ("another" if key == renamed else key): v
        for key, v in (rule.where | {"whole x": "15"}).items()
    }
    (tmp_path / "sizes.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    with pytest.warns(UserWarning, match=r"sizes\.csv: no row with network=ResNet-20, .*'whole x'"):
        assert judge("size-resnet20", [], tmp_path).verdict == Verdict.NOT_RUN


def test_a_benchmark_that_is_no_text_is_warned_about(tmp_path: Path) -> None:
    (tmp_path / "sizes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.warns(UserWarning, match=r"sizes\.csv"):
        assert judge("size-ternary-layers", [], tmp_path).verdict == Verdict.NOT_RUN


def test_an_interval_inside_outside_or_neither() -> None:
    def at(value: float, half_width: float | None) -> Verdict:
        return verdict(Estimate.around(value, 3, half_width), within(0.5, of=1.5))

    assert at(1.5, 0.5) == Verdict.REPRODUCED
    assert at(1.5, 0.6) == at(2.1, 0.2) == at(1.5, None) == Verdict.UNDECIDED
    assert at(2.3, 0.2) == at(0.7, 0.2) == Verdict.NOT_REPRODUCED
    assert verdict(Estimate.around(-3, 3, 1), below(0)) == Verdict.REPRODUCED
