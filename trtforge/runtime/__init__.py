"""Run networks: engines on a GPU, and the same networks in ONNX Runtime or PyTorch for reference."""

from trtforge.runtime.batcher import Batcher
from trtforge.runtime.batching import BatchingRule, Bucket, buckets_of
from trtforge.runtime.device_array import DeviceArray
from trtforge.runtime.device_collection import collect_on_gpu
from trtforge.runtime.reference import OnnxRunner
from trtforge.runtime.session import Session
from trtforge.runtime.torch_runner import TorchRunner
from trtforge.runtime.usage import LayerTime, SessionMemory

__all__ = [
    "Batcher",
    "BatchingRule",
    "Bucket",
    "DeviceArray",
    "LayerTime",
    "OnnxRunner",
    "Session",
    "SessionMemory",
    "TorchRunner",
    "buckets_of",
    "collect_on_gpu",
]
