"""Print what a packed network sees in an image; see configs/predict/predict.yaml."""

import hydra

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@hydra.main(config_path="../configs/predict", config_name="predict", version_base="1.3")
@entry_point
def main(config: Config) -> None:
    # Heavy imports wait until Hydra has dealt with --help and with bad overrides.
    from ttq_repro.deploy.predict import predict

    predict(config)


if __name__ == "__main__":
    main()
