"""Pack a trained network, or write it as ONNX; see configs/export.yaml."""

import hydra

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@hydra.main(config_path="../configs", config_name="export", version_base="1.3")
@entry_point
def main(config: Config) -> None:
    # Heavy imports wait until Hydra has dealt with --help and with bad overrides.
    from ttq_repro.deploy.export import export

    export(config)


if __name__ == "__main__":
    main()
