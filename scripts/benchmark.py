"""Speed of training against what a user would write; see configs/benchmark.yaml."""

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("benchmark")
def main(config: Config) -> None:
    from ttq_repro.benchmark.training import departures, measure
    from ttq_repro.runs.workspace import Workspace

    # What other settings give is no result.
    home = Workspace.of(config).home(is_result=not departures(config))
    for name, table in measure(config):
        table.write(home / "benchmarks", name)
        print(table.markdown())


if __name__ == "__main__":
    main()
