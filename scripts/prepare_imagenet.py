"""Make a compact store of ImageNet-style folders; see configs/prepare.yaml."""

import sys
from pathlib import Path

import hydra

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@hydra.main(config_path="../configs", config_name="prepare", version_base="1.3")
@entry_point
def main(config: Config) -> None:
    from ttq_repro.data.prepare import Photographs, prepare, survey
    from ttq_repro.runs.workspace import Workspace

    wanted = Photographs.of(config["data"], Workspace.of(config).cache)
    target = Path(config["store"]) if config["store"] else None
    try:
        print(survey(wanted, target))
        print(f"done; DATA_DIR={prepare(wanted, target)} (data.root) takes it from there")
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from the finished classes", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
