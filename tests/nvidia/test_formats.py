"""How inputs and outputs lie where an engine must read them as they are."""

from types import SimpleNamespace

from trtforge.nvidia.formats import fix_formats


def test_all_but_shape_tensors_lie_in_c_order():
    tensors = {
        name: SimpleNamespace(is_shape_tensor=name == "size", allowed_formats=None)
        for name in ("x", "size", "y")
    }
    network = SimpleNamespace(
        num_inputs=2,
        num_outputs=1,
        get_input=lambda index: tensors[("x", "size")[index]],
        get_output=lambda index: tensors["y"],
    )
    fix_formats(SimpleNamespace(TensorFormat=SimpleNamespace(LINEAR=3)), network)
    assert {name: tensor.allowed_formats for name, tensor in tensors.items()} == {
        "x": 8,
        "size": None,
        "y": 8,
    }
