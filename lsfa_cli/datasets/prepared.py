"""Prepared samples of a data set: read and preprocessed, or taken from the cache."""

from lsfa_cli.datasets.base import Reader
from lsfa_cli.errors import DataError
from lsfa_cli.preprocessing import PreprocessOptions, prepare
from lsfa_cli.preprocessing.cache import SampleCache
from lsfa_cli.samples import PreparedSample, SampleRecord


def prepared(
    dataset: Reader, record: SampleRecord, options: PreprocessOptions, cache: SampleCache | None
) -> PreparedSample:
    """One sample, ready for the backbones (METHOD 1). With a cache, unchanged raw files are read only once.

    The result is the same bits with and without a cache. Raises `DataError` naming the file that cannot be used.
    """
    if cache is None:
        return prepare(dataset.read(record), options)
    key = cache.key(record, options, dataset.name)

    def make() -> PreparedSample:
        sample = prepare(dataset.read(record), options)
        if cache.key(record, options, dataset.name) != key:
            files = ", ".join(str(path) for path in record.files.values())
            raise DataError(f"a file changed while it was read: {files}.", hint="Run the command again.")
        return sample

    return cache.fetch(key, record, make)
