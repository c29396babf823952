"""The least that FastAPI can do: one endpoint whose body pydantic checks, and whose answer is constant.

python bare_endpoint.py PORT numbers|text
"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, create_model

NUMBERS = tuple(f"number_{place}" for place in range(20))


class Answer(BaseModel):
    prediction: str
    confidence: float
    model_version: str


def app_for(body: type[BaseModel]) -> FastAPI:
    app = FastAPI()

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    async def predict(row: Any) -> Answer:  # noqa: ARG001 (checked, and that is all)
        return Answer(prediction="yes", confidence=0.5, model_version="1")

    predict.__annotations__["row"] = body
    app.post("/predict")(predict)
    return app


def main() -> None:
    port, kind = sys.argv[1:]
    fields: Any = dict.fromkeys(NUMBERS, (float, ...)) if kind == "numbers" else {"message": (str, ...)}
    body = create_model("Row", **fields)
    uvicorn.run(app_for(body), port=int(port), http="httptools", loop="uvloop", log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
