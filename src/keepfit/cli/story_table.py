"""The story as a table that a person understands at once."""

from __future__ import annotations

from collections.abc import Sequence

from keepfit.cli.output import fact, table
from keepfit.story import Scene


def show(scenes: Sequence[Scene]) -> None:
    """Print one line a scene, and a summary."""
    table(("scene", "answers", "right", "labels", "drift", "decision", "model", "what happened"), [_row(scene) for scene in scenes])
    fact("")
    fact(
        f"{len(scenes)} scenes in {sum(scene.seconds for scene in scenes):.0f} s. right: share of these answers that were right; "
        "the loop learns it from labels only."
    )


def _row(scene: Scene) -> tuple[str, ...]:
    return (
        scene.title,
        str(scene.answers or ""),
        "" if scene.right is None else f"{scene.right:.4f}",
        str(scene.labels or ""),
        {True: "yes", False: "no", None: ""}[scene.drift],
        scene.decision,
        f"v{scene.champion}" if scene.champion else "",
        scene.words,
    )
