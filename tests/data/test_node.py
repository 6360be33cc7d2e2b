"""The config node of every data set that comes with the project."""

from pathlib import Path

import pytest

from ttq_repro.data.node import is_of_photographs, root_of
from ttq_repro.data.prepare import StoreRequest
from ttq_repro.errors import UserError
from ttq_repro.runs.config import choices, compose_config


@pytest.mark.parametrize("name", choices("data"))
def test_photographs_have_all_that_photographs_need(name: str, tmp_path: Path) -> None:
    node = compose_config("train", [f"data={name}"])["data"]
    assert is_of_photographs(node) == (name not in ("cifar10", "digits"))
    if is_of_photographs(node):
        assert {"augmentation", "crop", "short_side", "quality"} <= node.keys()
        assert StoreRequest.of(node, tmp_path).root == root_of(node) == Path("data")
    else:
        assert {"pad", "flip"} <= node.keys()
        with pytest.raises(UserError, match="holds no photographs, so there is nothing to prepare"):
            StoreRequest.of(node, tmp_path)


def test_the_root_is_the_one_that_is_given() -> None:
    assert root_of({"root": "elsewhere"}) == Path("elsewhere")
    assert root_of({"root": None}) == Path("data")
