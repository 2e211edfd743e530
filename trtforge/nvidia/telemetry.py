"""Read a GPU's clocks, power, temperature, memory and energy through NVML; nothing is ever set."""

from __future__ import annotations

from typing import Any

from trtforge._closing import Closing
from trtforge._optional import is_installed
from trtforge.nvidia.nvml import nvml_handle


class Telemetry(Closing):
    """What NVML says of one GPU; of nothing where the library or the driver is missing.

    Parameters
    ----------
    device : CUDA device ordinal; where CUDA finds no such GPU, NVML's index.

    Attributes
    ----------
    missing : why nothing is read, or None.
    """

    def __init__(self, device: int = 0) -> None:
        self._nvml: Any = None
        self.missing: str | None = None
        if not is_installed("pynvml"):
            self.missing = 'nvidia-ml-py is not installed: python -m pip install "trtforge[bench]"'
            return
        import pynvml

        try:
            pynvml.nvmlInit()
            self._handle = nvml_handle(pynvml, device)
        except pynvml.NVMLError as error:
            self.missing = f"NVML: {error}"
            return
        self._nvml = pynvml

    def energy_j(self) -> float | None:
        """Return the energy that the GPU took since its driver was loaded, in joules."""
        millijoules = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return None if millijoules is None else millijoules / 1000

    def used_bytes(self) -> int | None:
        """Return the memory that all processes together hold on the GPU."""
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        return None if memory is None else int(memory.used)

    def state(self) -> dict[str, float | int | str]:
        """Return clocks in MHz, temperature in degrees Celsius, power in watts, and what holds clocks back.

        What NVML does not tell of this GPU is left out.
        """
        if self._nvml is None:
            return {}
        found: dict[str, float | int | str | None] = {
            "sm_mhz": self._ask("nvmlDeviceGetClockInfo", self._nvml.NVML_CLOCK_SM),
            "memory_mhz": self._ask("nvmlDeviceGetClockInfo", self._nvml.NVML_CLOCK_MEM),
            "temperature_c": self._ask("nvmlDeviceGetTemperature", self._nvml.NVML_TEMPERATURE_GPU),
        }
        power = self._ask("nvmlDeviceGetPowerUsage")
        found["power_w"] = None if power is None else power / 1000
        reasons = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        found["held_back_by"] = None if reasons is None else hex(reasons)
        return {key: value for key, value in found.items() if value is not None}

    def limits(self) -> dict[str, float | int]:
        """Return what the card is set to: its power limit in watts, its highest clocks in MHz."""
        if self._nvml is None:
            return {}
        limit = self._ask("nvmlDeviceGetEnforcedPowerLimit")
        found = {
            "power_limit_w": None if limit is None else limit / 1000,
            "max_sm_mhz": self._ask("nvmlDeviceGetMaxClockInfo", self._nvml.NVML_CLOCK_SM),
            "max_memory_mhz": self._ask("nvmlDeviceGetMaxClockInfo", self._nvml.NVML_CLOCK_MEM),
        }
        return {key: value for key, value in found.items() if value is not None}

    def close(self) -> None:
        """Let go of NVML; closing twice does nothing."""
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._nvml = None

    def _ask(self, function: str, *arguments: Any) -> Any:
        if self._nvml is None:
            return None
        try:
            return getattr(self._nvml, function)(self._handle, *arguments)
        except (self._nvml.NVMLError, AttributeError):
            return None  # this GPU, its driver or an older library does not tell
