"""The page and its parts: their content, and that they are self-contained."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from tests.records import record
from ttq_repro.paper.claims import CLAIMS
from ttq_repro.report.artifact_files import ORDER
from ttq_repro.report.claims_table import FIRST, answer, claims_table, subject_table, summary
from ttq_repro.report.interval_strip import strip
from ttq_repro.report.intervals import Estimate
from ttq_repro.report.ledger import Judgement, Verdict
from ttq_repro.report.page import (
    alternative,
    markdown,
    read_figures,
    read_files,
    read_tables,
    title,
    write_page,
)
from ttq_repro.report.results_readme import write_results_readme
from ttq_repro.report.run_list import RunList
from ttq_repro.runs.config import choices
from ttq_repro.table import Table

BY_ID = {claim.id: claim for claim in CLAIMS}
NOT_RUN = [Judgement(claim, Verdict.NOT_RUN) for claim in CLAIMS]


def with_one(judgement: Judgement) -> list[Judgement]:
    return [judgement if one.claim is judgement.claim else one for one in NOT_RUN]


def test_every_claim_is_on_the_page(tmp_path: Path) -> None:
    page = write_page(tmp_path, NOT_RUN, RunList(), read_files(tmp_path), [], []).read_text()
    for claim in CLAIMS:
        assert f'id="{claim.id}"' in page
    assert "No run has been recorded yet" in page
    assert "None yet." in page


def test_tables_figures_and_benchmarks_are_on_the_page(tmp_path: Path) -> None:
    Table("A **bold** `caption`.", ["a", "b"], [["<1>", "`x=1`"]]).write(
        tmp_path / "tables", "table1"
    )
    Table("", ["bytes"], [["75,252"]]).write(tmp_path / "benchmarks", "sizes")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "figure3.png").write_bytes(b"small")
    (tmp_path / "figures" / "figure3.svg").write_bytes(b"larger than that")
    (tmp_path / "figures" / "figure3.md").write_text("Figure 3: error & all.\n")
    page = write_page(
        tmp_path, NOT_RUN, RunList(), read_files(tmp_path), [], ["skipped a.json: <damaged>"]
    ).read_text()
    assert "<h3>Table 1</h3>" in page
    assert "A <strong>bold</strong> <code>caption</code>." in page
    assert "&lt;1&gt;" in page
    assert "<code>x=1</code>" in page
    assert "75,252" in page
    assert f"data:image/png;base64,{base64.b64encode(b'small').decode()}" in page
    assert "Figure 3: error &amp; all." in page
    assert "skipped a.json: &lt;damaged&gt;" in page


def test_the_index_answers_and_links_in_the_order_of_the_questions(tmp_path: Path) -> None:
    for folder, name in (
        ("benchmarks", "sizes"), ("tables", "ablations"), ("tables", "table1"), ("tables", "claims")
    ):  # fmt: skip
        Table("Its units.", ["bytes"], [["75,252"]]).write(tmp_path / folder, name)
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "figure3.md").write_text("Figure 3: error. More.\n\nBudget: short.\n")
    write_results_readme(tmp_path, NOT_RUN, RunList(), ["table2: not run: `make x`"])
    index = (tmp_path / "README.md").read_text()
    assert answer(NOT_RUN) in index
    lists = index.partition("## Tables")[2]
    assert [line for line in lists.splitlines() if line] == [
        "- [table1](tables/table1.md): Its units.",
        "- [ablations](tables/ablations.md): Its units.",
        "## Figures",
        "- [figure3](figures/figure3.png) ([caption](figures/figure3.md)): Figure 3: error",
        "## Measurements",
        "- [sizes](benchmarks/sizes.md): Its units.",
        "## Not drawn",
        "- table2: not run: `make x`",
    ]


@pytest.mark.parametrize(
    ("caption", "told"),
    [
        ("Figure 3: error. More.", "Figure 3: error"),
        ("Figure 3: mean ± s.d. over seeds. More.", "Figure 3: mean ± s.d. over seeds"),
        ("Bytes on disk.\n\n| a |\n| --- |\n| 1. 2 |\n", "Bytes on disk."),
        ("**Not ours: a `b`.** Figure 4: top-1. More.", "Not ours: a b. Figure 4: top-1"),
    ],
)
def test_a_picture_is_told_by_what_it_shows(caption: str, told: str) -> None:
    """After the warning of a stand-in."""
    assert alternative(caption) == told


def test_every_artifact_has_its_place() -> None:
    assert sorted(ORDER) == choices("artifact")


def test_subjects_count_their_claims() -> None:
    one = Judgement(BY_ID["table4-conv2"], Verdict.REPRODUCED)
    rows = {row[0]: row[1:] for row in subject_table(with_one(one)).rows}
    assert rows["Density of AlexNet-BN, Table 4"] == ["9", "1", "-", "-", "-", "8"]
    assert sum(int(row[0]) for row in rows.values()) == len(CLAIMS)


def test_a_number_of_a_shorter_budget_stands_beside_a_claim_that_is_not_run(tmp_path: Path) -> None:
    claim = BY_ID["table1-resnet20-ttq"]
    beside = Judgement(
        claim, Verdict.NOT_RUN, Estimate.around(11.19, 2, 0.3), "short, bf16", ("make x",)
    )
    page = write_page(
        tmp_path, with_one(beside), RunList(), read_files(tmp_path), [], []
    ).read_text()
    row = page.partition(f'id="{claim.id}"')[2].partition("</tr>")[0]
    assert 'class="beside"' in row
    assert "11.19% [10.89%, 11.49%]" in row
    assert "n=2; short, bf16" in row
    assert ">not run</span>" in row
    assert "<code>make x</code>" in row


def test_the_table_of_claims_shows_what_a_verdict_rests_on() -> None:
    judgements = [
        Judgement(BY_ID[claim], verdict, estimate, basis)
        for claim, verdict, estimate, basis in (
            (
                "table1-resnet20-ttq",
                Verdict.REPRODUCED,
                Estimate.around(8.9, 3, 0.1),
                "paper, fp32",
            ),
            ("size-resnet20", Verdict.NOT_REPRODUCED, Estimate.around(14.5, 0, 0.0), "sizes.csv"),
            (
                "ttq-beats-twn-resnet20",
                Verdict.UNDECIDED,
                Estimate.around(-0.2, 1, None),
                "paper, bf16",
            ),
            ("figure2-first-zero", Verdict.NOT_RUN, None, ""),
            (
                "figure2-last-convolution-zero",
                Verdict.NOT_RUN,
                Estimate.around(6, 2, 5),
                "short, bf16",
            ),
        )
    ]
    rows = claims_table(judgements).rows
    assert [[row[2], *row[4:7]] for row in rows] == [
        ["8.87%", "within ±0.5", "8.90% [8.80%, 9.00%] (n=3; paper, fp32)", "reproduced"],
        ["16x", "within ±1", "14.50x (sizes.csv)", "not reproduced"],
        ["-0.25", "below 0", "-0.20 (n=1; paper, bf16)", "undecided at this n"],
        ["-", "below 0", "-", "not run"],
        [
            "-",
            "above 0",
            "+6.00 [+1.00, +11.00] (n=2; short, bf16)",
            "not run; held at a shorter budget",
        ],
    ]
    assert rows[2][3] == "difference of test error, by seed"
    assert [row[8] for row in rows] == [judgement.claim.id for judgement in judgements]
    assert summary(judgements) == (
        "5 claims: 1 reproduced, 1 not reproduced, 1 undecided at this n, 2 not run "
        "(1 held at a shorter budget)"
    )


@pytest.mark.parametrize(
    ("judgement", "says"),
    [
        (Judgement(BY_ID[FIRST], Verdict.NOT_RUN), "ours is not run."),
        (
            Judgement(BY_ID[FIRST], Verdict.NOT_RUN, Estimate.around(0.5, 2, 0.25), "short, bf16"),
            "ours is not run, but a shorter schedule gives +0.50 [+0.25, +0.75] (n=2; short, "
            "bf16).",
        ),
        (
            Judgement(
                BY_ID[FIRST], Verdict.REPRODUCED, Estimate.around(0.6, 3, 0.1), "paper, bf16"
            ),
            "ours is +0.60 [+0.50, +0.70] (n=3; paper, bf16). Verdict on this claim: reproduced.",
        ),
        (
            Judgement(
                BY_ID[FIRST],
                Verdict.UNDECIDED,
                Estimate.around(3.76, 1, None),
                "paper, bf16",
                trailing=1.28,
            ),
            "ours is +3.76 (n=1; paper, bf16; a final epoch is an outlier; the mean over the last "
            "eighth of the epochs gives +1.28). Verdict on this claim: undecided at this n.",
        ),
    ],
)
def test_the_answer_tells_what_became_of_the_first_network(judgement: Judgement, says: str) -> None:
    text = answer(with_one(judgement))
    assert "Verdict on these four claims: all not run.**" in text
    assert f"TTQ's error minus full precision's is +0.64 points in the paper; {says}\n" in text


def test_the_answer_shows_what_a_shorter_schedule_gives() -> None:
    claim = BY_ID["ttq-beats-full-precision-resnet32"]
    ours = Estimate.around(0.11, 1, None)
    text = answer(with_one(Judgement(claim, Verdict.NOT_RUN, ours, "short, bf16")))
    says = f'- "{claim.text}": +0.11 (n=1; short, bf16)\n\nThe verdicts on all'
    assert (
        "At shorter schedules, which decide nothing, TTQ's error minus that of the network that it "
        f"is compared with is, in points (each claim says that it is negative):\n\n{says}"
    ) in text
    decided = answer(with_one(Judgement(claim, Verdict.UNDECIDED, ours, "paper, bf16")))
    assert "At shorter schedules" not in decided


def test_the_answer_names_what_does_not_reproduce() -> None:
    claim, ours = BY_ID["forward-time"], Estimate(43.8, 0, (42.8, 45.0))
    text = answer(with_one(Judgement(claim, Verdict.NOT_REPRODUCED, ours)))
    says = f'- "{claim.text}": 30% in the paper, ours 43.80% [42.80%, 45.00%]'
    assert f"\n\nNot reproduced:\n\n{says}\n\nThe verdicts on all" in text
    assert "Not reproduced:" not in answer(with_one(Judgement(claim, Verdict.UNDECIDED, ours)))


def test_the_answer_counts_cifar10_imagenet_and_sizes_apart() -> None:
    sizes = [
        replace(one, verdict=Verdict.BY_CONSTRUCTION) if one.claim.by_construction else one
        for one in with_one(Judgement(BY_ID[FIRST], Verdict.UNDECIDED))
    ]
    assert answer(sizes).endswith(
        "- CIFAR-10, 34 claims: 0 reproduced, 0 not reproduced, 1 undecided at this n, 33 not run\n"
        "- ImageNet, 33 claims: all not run\n"
        "- Size and speed, 6 claims: 0 reproduced, 3 true by construction, 0 not reproduced, "
        "3 not run\n"
        "- Our own control, 3 claims: all not run\n"
    )


def test_the_strip_keeps_the_order_of_its_marks() -> None:
    claim = BY_ID["table1-resnet20-ttq"]
    placed = strip(Judgement(claim, Verdict.UNDECIDED, Estimate.around(9.3, 3, 0.2), "paper"))
    assert placed is not None
    assert placed.paper is not None
    assert placed.interval is not None
    assert 0 < placed.accepted[0] < placed.paper < placed.interval[0]
    assert placed.interval[0] < placed.ours < placed.accepted[1] < placed.interval[1] < 100
    order = BY_ID["ttq-beats-twn-resnet20"]
    placed = strip(Judgement(order, Verdict.UNDECIDED, Estimate.around(-0.1, 1, None), "paper"))
    assert placed is not None
    assert placed.accepted[0] == 0
    assert placed.ours < placed.accepted[1] < 100
    assert strip(Judgement(order, Verdict.NOT_RUN)) is None


def test_runs_show_their_origin(tmp_path: Path) -> None:
    runs = RunList()
    config = {"seed": 1, "data": {"name": "cifar10", "root": None}, "recipe": {"epochs": 30}}
    for seed in (1, 2):
        runs.add(
            record(
                identity="net-1", seed=seed, config=config, test_error={"final": 0.1119},
                metrics={"seconds": [60.0, 90.0]}, weights_sha256="f" * 64,
                parent={"identity": "parent-1", "weights_sha256": "e" * 64},
                provenance={"commit": "c" * 40, "dirty": True, "processor": "a CPU"},
            )
        )  # fmt: skip
    assert len(runs) == 2
    (of_net,) = runs
    assert of_net.options == ["data.name=cifar10", "recipe.epochs=30"]
    assert [row.seed for row in of_net.trained] == [1, 2]
    row = of_net.trained[0]
    assert (row.final, row.minutes, row.hardware) == ("11.19", "2.5", "a CPU")
    assert (row.commit, row.parent) == (f"{'c' * 10}, uncommitted changes", "e" * 12)
    page = write_page(tmp_path, NOT_RUN, runs, read_files(tmp_path), [], []).read_text()
    assert "from 2\n    runs of <code>ttq_repro</code>: 2 on cifar10. Every number" in page
    assert "recipe.epochs=30" in page


def test_runs_are_counted_by_data_set(tmp_path: Path) -> None:
    runs = RunList()
    for place, dataset in enumerate(("cifar10", "imagenette", "cifar10")):
        runs.add(record(identity=f"net-{place}", config={"data": {"name": dataset}}))
    page = write_page(tmp_path, NOT_RUN, runs, read_files(tmp_path), [], []).read_text()
    assert ": 2 on cifar10, 1 on imagenette (not the paper&#39;s data). Every" in page


def test_reading_back_what_a_table_wrote(tmp_path: Path) -> None:
    note = "- not run: `make x`\n- trained elsewhere"
    table = Table("Two words, | and all.", ["a", "b"], [["1", "x, y"], ["2", ""]], note)
    table.write(tmp_path, "t")
    assert read_tables(tmp_path) == {"t": table}
    assert read_tables(tmp_path / "nowhere") == {}
    assert read_figures(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [("table1", "Table 1"), ("authors_code", "Authors code")],
)
def test_names_as_headings(name: str, expected: str) -> None:
    assert title(name) == expected


def test_markdown_is_escaped_first() -> None:
    assert markdown("a `<b>` **c**") == "a <code>&lt;b&gt;</code> <strong>c</strong>"


def test_a_file_that_is_no_table_is_named_and_left_out(tmp_path: Path) -> None:
    table = Table("A caption.", ["a"], [["1"]])
    table.write(tmp_path / "benchmarks", "sizes")
    (tmp_path / "benchmarks" / "empty.csv").touch()
    (tmp_path / "benchmarks" / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.warns(UserWarning, match="skipped .*: not a table") as warned:
        assert read_files(tmp_path).benchmarks == {"sizes": table}
    named = {str(one.message).partition(": not a table")[0] for one in warned}
    assert named == {f"skipped {tmp_path / 'benchmarks' / name}" for name in ("empty", "binary")}


def test_of_a_resumed_run_every_commit_is_told() -> None:
    runs = RunList()
    earlier = [{"commit": "a" * 40, "dirty": True, "device": "cpu", "processor": "a CPU"}]
    runs.add(record(provenance={"commit": "b" * 40, "earlier": earlier}))
    ((row,),) = (one.trained for one in runs)
    assert row.commit == f"{'a' * 10}, uncommitted changes; {'b' * 10}"


def test_options_that_differ_between_seeds_are_not_shown_as_common() -> None:
    runs = RunList()
    for seed, compiled in ((1, True), (2, False)):
        config = {"data": {"name": "cifar10"}, "trainer": {"compile": compiled, "plain": False}}
        runs.add(record(seed=seed, config=config))
    (one,) = runs
    assert one.options == ["data.name=cifar10", "trainer.plain=False"]
