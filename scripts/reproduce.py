"""Reproduce a table or figure: plan, train missing runs, render; see configs/reproduce.yaml."""

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("reproduce", resumes="the last complete epoch")
def main(config: Config) -> None:
    from ttq_repro.reproduce import reproduce

    reproduce(config)


if __name__ == "__main__":
    main()
