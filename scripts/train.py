"""Train one run, or with -m a sweep of runs; see configs/train.yaml."""

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("train", resumes="the last complete epoch")
def main(config: Config) -> None:
    # Heavy imports wait until Hydra has dealt with --help and with bad overrides.
    from ttq_repro.runs.execute import execute
    from ttq_repro.runs.run import Run

    execute(Run(config))


if __name__ == "__main__":
    main()
