"""LambdaNetworks, one idea per module.

The paper's modules lie here; training, experiments and the lessons' tools lie in rooms of their own. The names
below can be imported from here. Each is loaded when it is first asked for, so `import lambdalib` costs little.
Taught in notebooks/00_start_here.
"""

from importlib import import_module

__version__ = "0.1.0"
__course__ = "LambdaNetworks"  # tells this package from others of the same name

SHORT_NAMES = {
    "LambdaLayer": "layer",
    "LambdaLayer1d": "sequences",
    "create_model": "models",
    "list_models": "models",
    "load_pretrained": "training.checkpoint",
    "load_cifar10": "training.data",
    "normalize": "training.data",
    "fit": "training.train",
    "Recipe": "training.recipes",
}

__all__ = list(SHORT_NAMES)


def __getattr__(name: str):
    """Load a name when it is first asked for (PEP 562)."""
    if name not in SHORT_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{SHORT_NAMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
