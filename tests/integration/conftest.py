"""What the tests of the whole flow share."""

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """No test reads or fills the user's cache; the tests of one run share one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session", autouse=True)
def _tools():
    from fleet_mlir import FleetError, tools

    try:
        tools.version()
    except FleetError as error:
        pytest.skip(str(error))
