"""Where rows lie that a stage reads by itself, without a curate stage: files of this machine, or a hub data set."""

from pydantic import model_validator

from ringlite_cli.recipe.key_classes import objective, operational
from ringlite_cli.recipe.section import Positive, Section


class RowFiles(Section):
    """Rows of a file or of the hub: exactly one of path or hub."""

    path: str | None = objective(None, description="json, jsonl, csv, parquet or arrow file (gz too), folder or glob")
    hub: str | None = objective(None, description="Hugging Face data set id")
    revision: str | None = objective(None, description="full commit of the hub data set")
    subset: str | None = objective(None, description="configuration of the hub data set")
    hub_split: str = objective("train", description="split of the hub data set, or of a folder that holds several")
    local: str | None = operational(
        None, description="file or folder under $RINGLITE_DATA that stands in for the hub id"
    )
    rows: Positive | None = objective(None, description="rows to read at most; default: all")
    max_unreadable: float = operational(0.2, ge=0, lt=1, description="share of the rows that may be unreadable")

    @model_validator(mode="after")
    def _one_origin(self) -> "RowFiles":
        if (self.path is None) == (self.hub is None):
            raise ValueError("give exactly one of path or hub; sft also takes a curated set, as curate.traces")
        return self
