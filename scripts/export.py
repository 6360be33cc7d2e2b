"""Pack a trained network, or write it as ONNX; see configs/export.yaml."""

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("export")
def main(config: Config) -> None:
    # Heavy imports wait until Hydra has dealt with --help and with bad overrides.
    from ttq_repro.deploy.export import export

    export(config)


if __name__ == "__main__":
    main()
