"""Tables of bytes on disk and of operations, into results/benchmarks; see configs/sizes.yaml."""

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("sizes")
def main(config: Config) -> None:
    from ttq_repro.benchmark.sizes import measure
    from ttq_repro.runs.workspace import Workspace

    for name, table in measure(config).items():
        table.write(Workspace.of(config).results / "benchmarks", name)
        print(table.markdown())


if __name__ == "__main__":
    main()
