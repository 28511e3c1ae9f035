from collections.abc import Iterator

import pytest

from tests.nodes.cluster import Cluster, cluster_of


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes, for all tests of a module."""
    with cluster_of(2, tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(standing: Cluster) -> Cluster:
    """The same, whole again."""
    standing.restore()
    return standing
