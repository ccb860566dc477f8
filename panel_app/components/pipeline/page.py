"""page: all that many see alike, put together once a second."""

from typing import Any

from markupsafe import Markup

from panel_app.api_client import ApiProblem
from panel_app.components.pipeline.conservation import Span, conservation
from panel_app.components.pipeline.graph import graph, parts_of
from panel_app.components.pipeline.head import head
from panel_app.components.pipeline.phone import phone_list
from panel_app.components.pipeline.samples import Sample
from panel_app.components.pipeline.stall import banner, is_old, trouble
from panel_app.components.pipeline.tape import tape
from panel_app.components.render import render


def pipeline_page(
    answer: dict[str, Any] | None,
    answered_at: int,
    problem: ApiProblem | None,
    samples: tuple[Sample, ...],
    now_ms: int,
    selected: str,
    span: Span,
    phone: bool,
    panel: Markup | str = "",
) -> Markup:
    """Draw the page but for what a reader alone has opened; values from before are greyed.

    panel : on a phone what the selected node opens; it stands by itself on a wide screen.
    """
    found = trouble(answer, answered_at, problem, samples, now_ms)
    parts = parts_of(answer, samples, selected) if answer else None
    return render(
        "pipeline/page",
        head=head(answer),
        banner=banner(found),
        known=answer is not None,
        failed=problem is not None,
        flow_is_down=problem is not None and problem.status != 0,
        old=problem is not None or is_old(answered_at, now_ms),
        conservation=conservation(answer, span) if answer else "",
        tape=tape(answer, samples) if answer else "",
        graph="" if parts is None else phone_list(parts, selected, panel) if phone else graph(parts, selected),
        phone=phone,
    )
