"""MJCF geoms as text: primitive shapes, sizes in m, in the frame of the body they are put into.

Class ``look`` is seen but does not collide; ``object`` collides with everything; ``hand`` and ``pad`` (the
robot's) collide with objects.
"""

from __future__ import annotations

from collections.abc import Sequence


def text(values: Sequence[float] | str) -> str:
    """Numbers as an MJCF attribute; text is taken as it is."""
    return values if isinstance(values, str) else " ".join(f"{value:.6g}" for value in values)


def box(
    centre: Sequence[float] | str,
    half: Sequence[float] | str,
    material: str,
    kind: str = "look",
    **attributes: str,
) -> str:
    """A box from its centre (3) and half sizes (3)."""
    return _geom("box", kind, material, {"pos": text(centre), "size": text(half), **attributes})


def ball(
    centre: Sequence[float] | str, radius: float, material: str, kind: str = "look", **attributes: str
) -> str:
    """A sphere."""
    return _geom("sphere", kind, material, {"pos": text(centre), "size": text([radius]), **attributes})


def capsule(
    start: Sequence[float] | str,
    end: Sequence[float] | str,
    radius: float,
    material: str,
    kind: str = "look",
    **attributes: str,
) -> str:
    """A rod with round ends between two points (3)."""
    return _rod("capsule", start, end, radius, material, kind, attributes)


def cylinder(
    start: Sequence[float] | str,
    end: Sequence[float] | str,
    radius: float,
    material: str,
    kind: str = "look",
    **attributes: str,
) -> str:
    """A rod with flat ends between two points (3)."""
    return _rod("cylinder", start, end, radius, material, kind, attributes)


def square_ring(
    inner: float,
    wall: float,
    low: float,
    high: float,
    material: str,
    kind: str = "look",
    **attributes: str,
) -> str:
    """Four boxes around a square hole of half width ``inner``, ``wall`` thick, from ``low`` to ``high``."""
    middle, half, t = (low + high) / 2, (high - low) / 2, wall / 2
    return "".join(
        box((x, y, middle), (*size, half), material, kind, **attributes)
        for x, y, size in (
            (inner + t, 0.0, (t, inner + wall)),
            (-inner - t, 0.0, (t, inner + wall)),
            (0.0, inner + t, (inner, t)),
            (0.0, -inner - t, (inner, t)),
        )
    )


def _rod(
    shape: str,
    start: Sequence[float] | str,
    end: Sequence[float] | str,
    radius: float,
    material: str,
    kind: str,
    attributes: dict[str, str],
) -> str:
    ends = f"{text(start)} {text(end)}"
    return _geom(shape, kind, material, {"fromto": ends, "size": text([radius]), **attributes})


def _geom(shape: str, kind: str, material: str, attributes: dict[str, str]) -> str:
    words = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<geom type="{shape}" class="{kind}" material="{material}"{words}/>\n'
