"""Classify an image with a packed network; see configs/predict/predict.yaml."""

from ttq_repro.files import CONFIGS
from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("predict", folder=CONFIGS / "predict")
def main(config: Config) -> None:
    # Heavy imports wait until Hydra has dealt with --help and with bad overrides.
    from ttq_repro.deploy.predict import predict

    predict(config)


if __name__ == "__main__":
    main()
