"""Triton's model configuration as protobuf messages, by way of the package of its client."""

from __future__ import annotations

from typing import Any

from trtforge._optional import require
from trtforge.serving.triton.findings import Finding

PURPOSE = "write and check Triton model configurations"

# Of the manifest's dtypes, the ones that Triton has a name for.
DATA_TYPES = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "int8": "TYPE_INT8",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
    "bfloat16": "TYPE_BF16",
}


def schema() -> Any:
    """Return the module that holds ``ModelConfig``.

    Raises
    ------
    MissingExtraError : tritonclient, or what its gRPC part needs, is not installed.
    """
    require("grpc", PURPOSE)
    return require("tritonclient.grpc.model_config_pb2", PURPOSE)


def parse(text: str) -> tuple[Any, tuple[Finding, ...]]:
    """Parse ``config.pbtxt`` as Triton does.

    Returns
    -------
    The message, or None where the text is none; and what is wrong with it. Fields and enumeration values that
    do not exist are refused, and two schedulers for one model.
    """
    text_format = require("google.protobuf.text_format", PURPOSE)
    message = schema().ModelConfig()
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        return None, (Finding("grammar", f"config.pbtxt does not parse: {error}", "parser"),)
    return message, ()


def render(message: Any) -> str:
    """Return the text of a configuration."""
    text_format = require("google.protobuf.text_format", PURPOSE)
    return str(text_format.MessageToString(message))
