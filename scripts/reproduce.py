"""Reproduce a table or figure: plan, train what is missing, render; see configs/reproduce.yaml."""

import hydra

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@hydra.main(config_path="../configs", config_name="reproduce", version_base="1.3")
@entry_point
def main(config: Config) -> None:
    from ttq_repro.reproduce import reproduce

    reproduce(config)


if __name__ == "__main__":
    main()
