"""Renew in README.md and docs/ what is drawn from results/ and from the paper's data."""

from ttq_repro.files import ROOT, write_atomically
from ttq_repro.report.readme import fill, pages

if __name__ == "__main__":
    for page in pages(ROOT):
        write_atomically(page, fill(page.read_text(), ROOT / "results").encode())
