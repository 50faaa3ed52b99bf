"""One figure as an image inside a page; matplotlib draws it, the `report` extra."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# From Okabe and Ito, whose colours differ to the colour-blind too; a run's pages give each student
# one hue, so that its trainings with and without the teacher stay together.
HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# Inches and points: on a phone, 358 px of which are the page's, text is still 11 px high.
WIDTH, HEIGHT, FONT = 4.8, 3.6, 11.0


def drawn(draw: Callable[[Axes], None], *, height: float = HEIGHT) -> str:
    """Return what `draw` puts on the axes as an SVG in a data URI, with a legend below."""
    # Not pyplot: no global state, no backend to choose.
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # The salt and the missing date make the same figures the same bytes.
    with rc_context({"svg.hashsalt": "dllm2rec", "font.size": FONT, "text.parse_math": False}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            # Below the axes: beside them it would take half the width of a phone.
            figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=FONT)
        file = io.BytesIO()
        # No background: a page in the dark turns the light and the dark of the lines around.
        nothing = {"Date": None, "Creator": None}
        figure.savefig(file, format="svg", metadata=nothing, transparent=True)
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()
