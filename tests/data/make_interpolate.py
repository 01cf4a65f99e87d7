"""Write interpolate.npz: torch 2.13's resized images.

    python -m tests.data.make_interpolate

Needs torch 2.13.0. Each case has the input's integers, torch's, and the arguments.
"""

from __future__ import annotations

from typing import Any

from .make_pool import HERE, write

CASES: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("interpolate", (2, 5, 4, 6), {"scale_factor": 2.0}),
    ("interpolate", (1, 19, 5, 7), {"size": [9, 4]}),
    ("interpolate", (1, 4, 5, 7), {"scale_factor": [1.7, 0.6], "mode": "nearest-exact"}),
    ("interpolate", (1, 3, 2, 3, 4), {"size": [3, 5, 3]}),
    ("interpolate", (1, 3, 2, 3, 4), {"scale_factor": 1.6, "mode": "nearest-exact", "recompute_scale_factor": True}),
    ("interpolate", (1, 13, 5, 6), {"scale_factor": 2.0, "mode": "bilinear"}),
    ("interpolate", (2, 8, 5, 4), {"size": [8, 9], "mode": "bilinear", "align_corners": True}),
    ("interpolate", (1, 21, 6, 7), {"scale_factor": [0.7, 1.9], "mode": "bilinear", "align_corners": False}),
    ("interpolate", (1, 12, 6, 7), {"size": [6, 7], "mode": "bilinear"}),
    ("interpolate", (1, 12, 6, 7), {"size": [4, 3], "mode": "area"}),
    ("interpolate", (1, 5, 4, 6, 5), {"size": [2, 4, 3], "mode": "area"}),
]


def main() -> None:
    write(
        HERE / "interpolate.npz",
        CASES,
        lambda torch, name, x, arguments: getattr(torch.nn.functional, name)(x, **arguments),
    )


if __name__ == "__main__":
    main()
