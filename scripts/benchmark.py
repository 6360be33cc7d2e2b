"""Measure training speed against a script as a user would write it; see configs/benchmark.yaml."""

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("benchmark")
def main(config: Config) -> None:
    from ttq_repro.benchmark.publish import publish
    from ttq_repro.benchmark.training_speed import measure

    publish("benchmark", config, measure)


if __name__ == "__main__":
    main()
