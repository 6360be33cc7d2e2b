"""Renew in README.md what is drawn from results/ and from the paper's data."""

from ttq_repro.files import write_atomically
from ttq_repro.report.readme import fill
from ttq_repro.runs.config import ROOT

if __name__ == "__main__":
    readme = ROOT / "README.md"
    write_atomically(readme, fill(readme.read_text(), ROOT / "results").encode())
