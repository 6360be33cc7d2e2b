"""Draw tables, figures, verdicts and the report from records; see configs/report.yaml."""

import hydra

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@hydra.main(config_path="../configs", config_name="report", version_base="1.3")
@entry_point
def main(config: Config) -> None:
    from ttq_repro.overview import overview

    overview(config)


if __name__ == "__main__":
    main()
