"""The fleet dialect: op classes and enums, generated from its TableGen files."""

from ._fleet_enum_gen import *  # noqa: F403
from ._fleet_ops_gen import *  # noqa: F403
from ._fleet_ops_gen import _Dialect  # noqa: F401
