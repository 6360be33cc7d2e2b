"""Count bytes on disk and operations; see configs/sizes.yaml."""

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("sizes")
def main(config: Config) -> None:
    from ttq_repro.benchmark.publish import publish
    from ttq_repro.benchmark.sizes import measure

    publish("sizes", config, measure)


if __name__ == "__main__":
    main()
