"""`/metrics`, for Prometheus: what the database knows, and what this web part was asked for."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Flask, Response, current_app, request
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import choose_encoder

from farm.jobs import metrics
from farm.jobs.metrics import FarmCollector
from web.middleware.authentication import require_operator

REQUESTS = (
    "farm_http_requests",
    "Answers of this web part since its start, by the route of their address.",
    ("method", "route", "status"),
)
NO_ROUTE = "none"  # the address is no page of ours

blueprint = Blueprint("metrics", __name__)


def init_app(app: Flask) -> None:
    """Count the answers of this application."""
    registry = CollectorRegistry()
    counter = Counter(*REQUESTS, registry=registry)
    registry.register(FarmCollector())
    app.extensions["metrics"] = registry

    def count(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else NO_ROUTE
        method = request.method if request.url_rule else NO_ROUTE  # a stranger's may be any word
        counter.labels(method, route, str(response.status_code)).inc()
        return response

    app.after_request(count)


@blueprint.get("/metrics")
@require_operator
def show_metrics() -> Response:
    """Return all metrics, as text or as OpenMetrics, whichever is asked for."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    text = encode(current_app.extensions["metrics"])
    return Response(text, content_type=content_type, headers={"Cache-Control": "no-store"})


def list_all() -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
    """Yield name, kind, description and labels of each metric."""
    yield from metrics.list_all()
    name, text, labels = REQUESTS
    yield f"{name}_total", "counter", text, labels
