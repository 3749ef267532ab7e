"""A compiled step in IREE's virtual machine, on whichever device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .errors import FleetError


class Function:
    """The function ``step`` of a vmfb, loaded for a device.

    Raises FleetError where IREE takes the vmfb for none of its own, or the function fails.
    """

    def __init__(self, vmfb: bytes, hal_device: Any) -> None:
        import iree.runtime as rt

        self._list = rt.VmVariantList
        instance = rt.VmInstance()
        try:
            module = rt.VmModule.copy_buffer(instance, vmfb)
            self._context = rt.VmContext(instance, [rt.create_hal_module(instance, hal_device), module])
            self._function = module.lookup_function("step")
        except Exception as error:
            raise FleetError(f"IREE cannot load the program: {str(error).splitlines()[0]}") from None

    def __call__(self, views: Iterable[Any], *numbers: int) -> None:
        """Call it with buffer views (HalBufferView), then numbers (i32)."""
        arguments = self._list(0)
        for view in views:
            arguments.push_ref(view)
        for number in numbers:
            arguments.push_int(number)
        try:
            self._context.invoke(self._function, arguments, self._list(0))
        except Exception as error:
            raise FleetError(f"the step failed: {str(error).splitlines()[0]}") from None
