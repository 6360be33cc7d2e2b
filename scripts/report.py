"""Draw tables, figures, verdicts and the report from records; see configs/report.yaml."""

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("report")
def main(config: Config) -> None:
    from ttq_repro.runs.workspace import Workspace

    # Checked before imports that would create the folder for their caches.
    Workspace.existing(config)
    from ttq_repro.report.report import report

    report(config)


if __name__ == "__main__":
    main()
