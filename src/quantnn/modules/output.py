"""OutputModule: what modules share that keep their output's scale and zero point as numbers."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np

from .. import _checks
from .module import Module


class OutputModule(Module):
    """A module with its output's `scale` and `zero_point` as Python numbers.

    In a state dict they are arrays without dimensions: float32, so that saving rounds the scale, and int64. They come
    after what a subclass has written there, as in torch. Keys that nobody knows are let through, as in torch, too.
    """

    scale: float
    zero_point: int

    def _save_to_state_dict(self, destination: MutableMapping[str, Any], prefix: str, keep_vars: bool = False) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "scale"] = np.array(self.scale, np.float32)
        destination[prefix + "zero_point"] = np.array(self.zero_point, np.int64)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Mapping[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        found: list[Any] = []
        for name in ("scale", "zero_point"):
            key = prefix + name
            if key not in state_dict:
                missing_keys.append(key)
                continue
            check = _checks.number if name == "scale" else _checks.integer
            try:
                found.append(check(key, "the value", state_dict.pop(key)))
            except (TypeError, ValueError) as e:
                error_msgs.append(str(e))
        if len(found) == 2:
            self.scale, self.zero_point = found
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, False, missing_keys, unexpected_keys, error_msgs
        )
