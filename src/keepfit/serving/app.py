"""The HTTP API, put together.

keepfit.serving.app          this file: endpoints, gate and description become one FastAPI application
    gate                     every request: let in, led to its endpoint, counted; errors become problem documents
        admission            names, origins, keys, scopes, rates
        routes/*             the endpoints
            schemas, cells   what a model version is asked with
    description              the OpenAPI document of the version that answers now
keepfit.serving.protocol     beneath: how many connections, how long a request may take to arrive
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

import keepfit
from keepfit.serve_settings import Serve
from keepfit.serving.admission import ANY, PUBLIC, Admission, needs_keys
from keepfit.serving.control import Office
from keepfit.serving.description import Description
from keepfit.serving.desk import Desk
from keepfit.serving.gate import Gate
from keepfit.serving.prometheus import Metrics
from keepfit.serving.routes.describing import describing
from keepfit.serving.routes.models import models
from keepfit.serving.routes.monitoring import monitoring
from keepfit.serving.routes.predicting import predicting
from keepfit.serving.routes.scoring import scoring
from keepfit.serving.routes.standing import standing


def build_app(desk: Desk, office: Office, settings: Serve, project: str) -> FastAPI:
    """The API of one worker. It reads `desk.served` and `desk.plan` anew for every request, so it follows every swap."""
    app = Api(title=project, version=keepfit.__version__, openapi_url=None, docs_url=None, redoc_url=None)
    description = Description(app, desk, project, keys=needs_keys(settings))
    health_needs = PUBLIC if settings.public_health else ANY
    metrics, admission = Metrics(desk), Admission(settings, lambda: desk.plan.keys)
    endpoints = [
        *predicting(desk, metrics),
        *models(desk, office),
        *monitoring(desk, office, metrics),
        *standing(desk, health_needs, admission.trusts),
        *scoring(desk, metrics, health_needs),
        *describing(description),
    ]
    app.router.routes.extend(endpoints)
    app.openapi = description.document  # type: ignore[method-assign]
    gate = Gate(endpoints, admission, metrics, settings.max_body)
    app.gate = _for_origins(gate, settings) if settings.cors_origins else gate
    return app


class Api(FastAPI):
    """FastAPI, but that requests go straight to the gate."""

    gate: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.gate(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _for_origins(gate: Gate, settings: Serve) -> CORSMiddleware:
    headers = ["Authorization", "Content-Type", "X-API-Key", "X-Route-Key"]
    return CORSMiddleware(
        gate, allow_origins=settings.cors_origins, allow_methods=["GET", "POST", "PUT"], allow_headers=headers, max_age=600
    )
