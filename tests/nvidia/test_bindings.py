"""The comparison with imported bindings, on modules made from the lists of names."""

from types import SimpleNamespace

import pytest

from tests.nvidia.bindings import missing_names
from tests.nvidia.vendor_surface import FLAVORS, surface

V10 = next(flavor for flavor in FLAVORS if flavor.version == "10.16.1")


def module_of(names, lacking=()):
    """A module with the names of a list, bases included, but those of ``lacking``."""

    def members(owner):
        entry = names[owner]
        inherited = [name for base in entry.get("bases", []) for name in members(base)]
        return [name for name in (*entry.get("members", {}), *inherited) if f"{owner}.{name}" not in lacking]

    return SimpleNamespace(
        __version__="1",
        **{
            owner: SimpleNamespace(**dict.fromkeys(members(owner)))
            for owner in names
            if owner not in (*lacking, "__version__")
        },
    )


@pytest.mark.parametrize("version", ["10.16.1", "11.4.0"])
def test_a_module_with_every_name_passes(version):
    flavor = next(flavor for flavor in FLAVORS if flavor.version == version)
    assert missing_names(module_of(surface(flavor)), f"{version}.11") == []


def test_what_a_module_lacks_is_named():
    lacking = {"IProgressMonitor", "BuilderFlag.FP16", "TacticSource.CUDNN"}
    found = missing_names(module_of(surface(V10), lacking), "10.16.1.11")
    named = {text.rpartition(": ")[2] for text in found}
    assert named == lacking | {"IProgressMonitor.__init__"}
    assert any(text.startswith("v10.py:") for text in found)
