"""Make a compact store from ImageNet-style folders; see configs/prepare.yaml."""

from pathlib import Path

from ttq_repro.runs.config import Config
from ttq_repro.runs.entry import entry_point


@entry_point("prepare", resumes="the finished classes")
def main(config: Config) -> None:
    from ttq_repro.checks import check_option, check_path
    from ttq_repro.data.prepare import StoreRequest, prepare, survey
    from ttq_repro.runs.workspace import Workspace

    wanted = StoreRequest.of(config["data"], Workspace.of(config).cache)
    if config["store"] is not None:
        check_option("store", config["store"], check_path)
    target = None if config["store"] is None else Path(config["store"])
    print(survey(wanted, target))
    print(f"done; train with DATA_DIR={prepare(wanted, target)} (in scripts: data.root)")


if __name__ == "__main__":
    main()
