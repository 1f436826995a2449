"""Names and the nets that they stand for: the only module that knows every net.

Taught in notebooks/06_lambda_resnet. Used by `lambdalib train` and by hubconf.py.
"""

from difflib import get_close_matches
from functools import partial

from torch import nn

from lambdalib.arguments import check_flags
from lambdalib.hybrid import LAMBDAS_IN_C4, HybridResNet
from lambdalib.resnet import DEPTHS, BasicBlock, ResNet
from lambdalib.small import SmallResNet

__all__ = ["MODELS", "list_models", "create_model"]

# Name -> builder. A builder takes num_classes and stem, and by name every option that create_model was given.
# lambda_resnet18 is the literature's name; with bottlenecks it is 26 layers deep. The resnets are twins,
# bottlenecks with convolutions, by their true depth; only resnet18 is the field's net of basic blocks, and no
# lambda net's twin.
MODELS = {
    **{f"lambda_resnet{depth}": partial(ResNet, DEPTHS[depth]) for depth in DEPTHS},
    **{f"lambda_resnet{depth}_hybrid": partial(HybridResNet, depth) for depth in LAMBDAS_IN_C4},
    "resnet18": partial(ResNet, DEPTHS[18], layout="CCCC", block=BasicBlock),
    **{f"resnet{depth}": partial(ResNet, DEPTHS[depth], layout="CCCC") for depth in (26, 38, 50, 101, 152, 200)},
    "small": partial(SmallResNet, (24, 64, 256, 256)),
    "tiny": partial(SmallResNet, (24, 32, 128, 128)),
}


def list_models() -> list[str]:
    """The names that create_model knows. Used by `lambdalib train`."""
    return list(MODELS)


def create_model(name: str, num_classes: int = 10, *, stem: str = "cifar", layout: str | None = None,
                 dim_k: int | None = None, heads: int | None = None, dim_u: int | None = None,
                 scope: int | None = None, twin: str | None = None, widen: int | None = None,
                 recompute: bool | None = None) -> nn.Module:  # fmt: skip
    """Build a net by name, freshly initialised. Taught in notebooks/06_lambda_resnet.

    Args:
        name: one of list_models(). lambda_resnet18, 38, 50, 101, 152, 200, 270, 350, 420 have lambda layers in all
            stages, those with _hybrid in the last and in some blocks of the third (see hybrid.HybridResNet);
            resnet26 to resnet200 are the same bottlenecks with convolutions (resnet26 is lambda_resnet18's twin);
            resnet18 is the field's net of basic blocks. small and tiny are SmallResNets, trained in this course.
        num_classes: how many numbers come out for each image.
        stem: "cifar" or "imagenet", see ResNet.
        layout, dim_k, heads, dim_u, scope, recompute: see ResNet and SmallResNet. None: the model's own. Options
            of lambda layers have no effect where the layout has none.
        twin, widen: for small and tiny; see SmallResNet.
    Raises:
        ValueError: the name is unknown, or an argument makes no net.
    """
    if name not in list(MODELS):
        near = get_close_matches(str(name), MODELS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"name must be one of {', '.join(MODELS)}, got {name!r}{hint}")
    for option, value in (("twin", twin), ("widen", widen)):
        if value is not None and name not in ("small", "tiny"):
            raise ValueError(f"{option} must be None for {name}: it is for small and tiny, got {value!r}")
    if recompute is not None:
        check_flags(recompute=recompute)
    options = {
        "layout": layout,
        "dim_k": dim_k,
        "heads": heads,
        "dim_u": dim_u,
        "scope": scope,
        "twin": twin,
        "widen": widen,
        "recompute": recompute,
    }
    given = {option: value for option, value in options.items() if value is not None}
    return MODELS[name](num_classes=num_classes, stem=stem, **given)
