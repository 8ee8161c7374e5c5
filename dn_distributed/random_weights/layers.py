"""Layers that take the place of others, with their parameters: bases of those whose weights are random."""

from torch import Tensor, nn

from dn_distributed.errors import ArgumentError


def replaceable(network: nn.Module, name: str) -> nn.Linear | nn.Conv2d:
    """Return a layer by its name. ArgumentError where another in its place could compute something else."""
    layer = network.get_submodule(name)
    if type(layer) not in (nn.Linear, nn.Conv2d) or layer._forward_hooks or layer._forward_pre_hooks:
        raise ArgumentError(
            f"layer {name!r} is a {type(layer).__name__} of its own kind, or has hooks: weights can be random of "
            "nn.Linear and nn.Conv2d as they are"
        )
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    return layer


class RandomLinear(nn.Linear):
    """A fully connected layer in place of another."""

    noise: Tensor

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias


class RandomConv2d(nn.Conv2d):
    """A convolution in place of another."""

    noise: Tensor

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            bias=layer.bias is not None,
            padding_mode=layer.padding_mode,
            device="meta",
        )
        self.weight, self.bias = layer.weight, layer.bias

    def convolved(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Return the convolution of the layer with another weight and bias."""
        outputs: Tensor = self._conv_forward(inputs, weight, bias)
        return outputs
