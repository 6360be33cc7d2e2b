"""Print the test error of a packed network; see configs/evaluate.yaml."""

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("evaluate")
def main(config: Config) -> None:
    # Heavy imports wait until Hydra has dealt with --help and with bad overrides.
    from ttq_repro.deploy.evaluate import evaluate

    evaluate(config)


if __name__ == "__main__":
    main()
