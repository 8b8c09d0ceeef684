"""What a server says of itself: ``/spec`` for the page and for programs, and the OpenAPI schema."""

from dataclasses import asdict
from typing import Any

from perceiver_pytorch.serve.asking import WITHOUT
from perceiver_pytorch.serve.forms import cell_schema, part_schema
from perceiver_pytorch.serve.service import Service
from perceiver_pytorch.serve.uploads import FORM, JSON

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "what is wrong, what was expected, and what helps"},
        "row": {"type": "integer", "description": "the row to blame, from 0"},
        "column": {"type": "string", "description": "the column to blame"},
    },
}
ERRORS = {
    400: "no JSON, or no form, that can be read",
    403: "sent by a page of another site",
    408: "the request did not arrive in time",
    413: "the request is too large",
    415: "neither JSON nor a form",
    421: "the server does not go by the name in the Host header",
    422: "a row or a cell cannot be read, or is longer than it may be",
    500: "the server failed; its log says why",
    503: "too many requests at work, or the server is ending: try again",
    504: "the answer was not ready in time",
}


def spec(service: Service, num_examples: int) -> dict[str, Any]:
    """JSON values of ``/spec``.

    Args:
        service: what is described.
        num_examples: rows that can be tried.
    """
    modalities = {modality.name: modality for modality in service.served.modalities}
    return {
        "name": service.served.name,
        "fields": [{**asdict(field), "modalities": names} for field, names in service.fields.values()],
        "modalities": [
            {"name": name, "kind": each.kind, "columns": list(each.columns), "note": each.note()}
            for name, each in modalities.items()
        ],
        "targets": service.served.targets,
        "examples": num_examples,
        "coverage": service.settings.coverage,
        "limits": {
            name: getattr(service.settings, name)
            for name in ("max_mb", "max_rows", "max_text", "max_values", "max_pixels", "max_seconds", "timeout")
        },
    }


def request_body(service: Service) -> dict[str, Any]:
    """The OpenAPI request body of ``/predict`` and ``/explain``: the columns that the model reads."""
    fields = {column: field for column, (field, _) in service.fields.items()}
    row = {
        "type": "object",
        "description": "A row; columns that are left out are missing.",
        "properties": {column: cell_schema(field) for column, field in fields.items()},
    }
    without = {
        "type": "array",
        "items": {"type": "string", "enum": service.modalities},
        "description": "modalities to leave out",
    }
    rows = {"type": "array", "items": row, "minItems": 1, "maxItems": service.settings.max_rows}
    body = {
        "type": "object",
        "required": ["rows"],
        "properties": {"rows": rows, WITHOUT: without},
        "additionalProperties": False,
    }
    parts = {column: part_schema(field) for column, field in fields.items()}
    form = {"type": "object", "properties": {**parts, **({} if WITHOUT in parts else {WITHOUT: without})}}
    example = {"rows": [{name: field.example for name, field in fields.items() if field.example is not None}]}
    return {
        "required": True,
        "content": {JSON: {"schema": body, "example": example}, FORM: {"schema": form}},
    }


def responses(service: Service, explained: bool = False) -> dict[int | str, Any]:
    """The OpenAPI responses of ``/predict``; ``explained``: of ``/explain``."""
    target = {
        "type": "object",
        "required": ["kind", "prediction"],
        "properties": {
            "kind": {"type": "string"},
            "prediction": {"description": "the class, the labels, the number or the date"},
            "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
            "set": {"type": "string", "description": "the names that may be true, at the coverage of the server"},
            "set_size": {"type": "integer"},
            "low": {"description": "the interval that holds the truth, at the coverage of the server; null: open"},
            "high": {},
        },
    }
    names = [target["name"] for target in service.served.targets]
    targets = {"type": "object", "required": names, "properties": dict.fromkeys(names, target)}
    texts = {"type": "array", "items": {"type": "string"}}
    answer: dict[str, Any] = {
        "type": "object",
        "required": ["targets", "present", "notes"],
        "properties": {
            "targets": targets,
            "present": texts,
            "notes": texts,
            "unusual": {"type": ["string", "null"], "description": "why the row is unlike those of training"},
        },
    }
    whole = {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": {"type": "array", "items": answer}},
    }
    if explained:
        part = {"type": "object", "properties": {"without": targets, "alone": targets}}
        maps = {"type": "array", "items": {"type": "object", "additionalProperties": {"type": "string"}}}
        properties = {
            **answer["properties"],
            "modalities": {"type": "object", "additionalProperties": part},
            "maps": {"type": "object", "additionalProperties": maps},
        }
        whole = {**answer, "properties": properties}
    errors: dict[int | str, Any] = {
        status: {"description": text, "content": {JSON: {"schema": _ERROR}}} for status, text in ERRORS.items()
    }
    return {200: {"description": "What the model says.", "content": {JSON: {"schema": whole}}}, **errors}
