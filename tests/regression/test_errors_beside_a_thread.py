"""An error of a pass while another Python thread works ended the process: its diagnostic became an object without the lock."""

from __future__ import annotations

import threading

import pytest

from fleet_mlir import FleetError, passes


def test_a_failing_pass_beside_a_busy_thread() -> None:
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            [str(i) for i in range(1000)]

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(200):
            with pytest.raises(FleetError, match="expected"):
                passes.program("module {}").run(["fleet-schedule-tasks"])
    finally:
        done.set()
        thread.join()
