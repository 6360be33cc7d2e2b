"""Imports between the packages go one way, and planning does not import torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ttq_repro

PACKAGE = Path(ttq_repro.__file__).parent
SHARED = {
    "allocator",
    "checks",
    "cuda_graph",
    "errors",
    "files",
    "humanize",
    "instantiation",
    "pictures",
    "sealed",
    "table",
    "workers",
}
ALLOWED = {
    "paper": set(),
    "quantizers": set(),
    "models": set(),
    "data": set(),
    "training": {"quantizers", "models", "data"},
    "deploy": {"quantizers", "models", "data", "runs"},
    "benchmark": {"quantizers", "models", "data", "training", "deploy", "runs"},
    "report": {"paper", "runs"},
    "runs": {"quantizers", "models", "data", "training"},
}
REPORTS = ", ".join(
    f"ttq_repro.report.{path.stem}" for path in sorted((PACKAGE / "report").glob("[a-z]*.py"))
)


def imported_by(path: Path) -> list[str]:
    """The full names that a module imports from this project, inside of functions as well."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import has no full name"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.startswith("ttq_repro.")]


def test_no_package_is_left_out() -> None:
    assert {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.glob("*/**/*.py")} == {*ALLOWED}


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package: str) -> None:
    for path in (PACKAGE / package).rglob("*.py"):
        for name in imported_by(path):
            assert name.split(".")[1] in ALLOWED[package] | {package} | SHARED, path


@pytest.mark.parametrize("module", sorted(SHARED))
def test_shared_modules_import_only_each_other(module: str) -> None:
    assert {name.split(".")[1] for name in imported_by(PACKAGE / f"{module}.py")} <= SHARED


def test_planning_and_reporting_leave_torch_alone() -> None:
    modules = f"ttq_repro.reproduce, ttq_repro.runs.plan, {REPORTS}"
    program = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_plan_of_photographs_leaves_torch_alone(photographs: Path, tmp_path: Path) -> None:
    program = (
        "import sys; "
        "from ttq_repro.reproduce import reproduce; "
        "from ttq_repro.runs.config import compose_config; "
        "reproduce(compose_config('reproduce', sys.argv[1:])); "
        "sys.exit('torch' in sys.modules)"
    )
    request = [
        "artifact=table2", "budget=smoke", "dry_run=true", f"data_dir={photographs}",
        "overrides=['data.num_classes=3']", f"workspace={tmp_path}",
    ]  # fmt: skip
    planned = subprocess.run(
        [sys.executable, "-c", program, *request], capture_output=True, text=True, check=False
    )
    assert planned.returncode == 0, planned.stderr
    assert "data: 18 train and 6 val photographs, to be prepared in" in planned.stdout
    assert "5 of 5 runs to train" in planned.stdout
