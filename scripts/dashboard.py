"""Build the wandb workspace as JSON, and save it where there is a key; configs/dashboard.yaml."""

import hydra

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@hydra.main(config_path="../configs", config_name="dashboard", version_base="1.3")
@entry_point
def main(config: Config) -> None:
    from ttq_repro.dashboard import dashboard

    dashboard(config)


if __name__ == "__main__":
    main()
