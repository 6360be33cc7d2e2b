"""Build the wandb workspace as JSON; with an API key, also save it. See configs/dashboard.yaml."""

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("dashboard")
def main(config: Config) -> None:
    from ttq_repro.dashboard import dashboard

    dashboard(config)


if __name__ == "__main__":
    main()
