"""Entry points for torch.hub: every net of create_model by its name, and the trained ones with pretrained=True.

    net = torch.hub.load("OWNER/NAME", "lambda_resnet50", num_classes=1000, stem="imagenet")
    net = torch.hub.load("OWNER/NAME", "small", pretrained=True)

OWNER/NAME is this repository; with source="local", the path of its folder. Taught in notebooks/06_lambda_resnet.
"""

from functools import partial as _partial

from lambdalib.arguments import check_flags as _check_flags
from lambdalib.models import MODELS as _MODELS
from lambdalib.models import create_model as _create_model
from lambdalib.training.checkpoint import list_pretrained as _list_pretrained
from lambdalib.training.checkpoint import load_pretrained as _load_pretrained

dependencies = ["torch", "torchvision", "einops", "safetensors"]


def _load(_name, pretrained=False, **options):
    """The net of this name.

    Args:
        pretrained: with the weights that come with the repository, in eval mode; no options then.
        options: num_classes, stem, layout, dim_k, heads, dim_u, scope, twin, widen, recompute, as in
            lambdalib.models.create_model.
    Raises:
        ValueError: pretrained is neither True nor False, there are no weights for this net, or an option does not
            go with them, or makes no net.
    """
    _check_flags(pretrained=pretrained)
    if not pretrained:
        return _create_model(_name, **options)
    trained = [name for name in _list_pretrained() if name in _MODELS]
    if _name not in trained:
        raise ValueError(f"pretrained must be False for {_name}: only {' and '.join(trained)} come with weights")
    if options:
        raise ValueError(
            f"{', '.join(options)} cannot be chosen with pretrained=True: the weights belong to one net"
        )
    return _load_pretrained(_name)


def _entry(name):
    entry = _partial(_load, name)
    # what torch.hub.help prints
    entry.__doc__ = _load.__doc__.replace("The net of this name", f"create_model({name!r})", 1)
    return entry


globals().update({name: _entry(name) for name in _MODELS})  # torch.hub lists what has no underscore
