"""The artifacts that stages read and write: HDF5 files with a schema, a content hash and a lineage.

`schema` says what is in each, `store` writes and reads them, `lineage` says what made one and whether it is stale,
`features`, `adaptor`, `bank` and `scores` are the typed views of the four.
"""

from lsfa_cli.artifacts.scores import open_scores

__all__ = ["open_scores"]
