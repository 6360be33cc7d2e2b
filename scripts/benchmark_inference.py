"""Measure the speed of packed networks against float ones; see configs/benchmark_inference.yaml."""

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("benchmark_inference")
def main(config: Config) -> None:
    from ttq_repro.benchmark.inference import measure
    from ttq_repro.benchmark.publish import publish

    publish("benchmark_inference", config, measure)


if __name__ == "__main__":
    main()
