"""Update the generated parts of README.md and docs/; see configs/readme.yaml."""

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("readme")
def main(_: Config) -> None:
    from ttq_repro.files import ROOT, write_atomically
    from ttq_repro.report.doc_sections import fill, pages

    for page in pages(ROOT):
        write_atomically(page, fill(page.read_text(), ROOT / "results").encode())


if __name__ == "__main__":
    main()
