"""What the operations of a network do to units that pass them, by the names of functions and the kinds of modules."""

from torch import nn

_MIXING = {"MultiheadAttention", "GLU", "Softmax", "Softmin", "Softmax2d", "LogSoftmax"}
UNITWISE_MODULES = (
    *(getattr(nn, name) for name in nn.modules.activation.__all__ if name not in _MIXING),
    *(nn.Identity, nn.Flatten, nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.BatchNorm1d),
)
UNITWISE_FUNCTIONS = {
    *("relu", "relu_", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus", "softsign"),
    *("sigmoid", "logsigmoid", "hardsigmoid", "tanh", "hardtanh", "tanhshrink", "hardswish", "hardshrink"),
    *("softshrink", "threshold", "abs", "square", "sqrt", "exp", "sin", "cos", "clamp", "neg", "pow"),
    *("add", "sub", "mul", "div", "truediv", "dropout", "alpha_dropout", "feature_alpha_dropout"),
    *("contiguous", "clone", "detach", "to", "float", "double", "half", "flatten"),
}
"""With one tensor as their argument these leave every unit where it is, and apart from the others."""

RESHAPES = {"flatten", "view", "reshape"}
PAIRS = {"add", "add_", "iadd", "sub", "sub_", "isub", "mul", "mul_", "imul"}
"""Of two tensors of the same units these are unit by unit."""

POOLING = {
    f"{prefix}{kind}_pool{n}d": n + 2 for prefix in ("", "adaptive_") for kind in ("avg", "max") for n in (1, 2, 3)
}
"""By name how many dimensions a batch for it has."""
POOLING_MODULES = {
    getattr(nn, f"{prefix}{kind}Pool{n}d"): n + 2
    for prefix in ("", "Adaptive")
    for kind in ("Avg", "Max")
    for n in (1, 2, 3)
}
NO_OPERATION = {"dropout1d", "dropout2d", "dropout3d", "stochastic_depth"}
NO_OPERATION_MODULES = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
"""In evaluation mode. The dropout of single units is unitwise anyway."""
