"""Build the wandb workspace as JSON, and save it where there is a key; configs/dashboard.yaml."""

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("dashboard")
def main(config: Config) -> None:
    from ttq_repro.dashboard import dashboard

    dashboard(config)


if __name__ == "__main__":
    main()
