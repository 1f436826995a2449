"""LambdaNetworks, one idea per module. Each module is taught by a lesson in notebooks/."""

__version__ = "0.1.0"
__course__ = "LambdaNetworks"                                          # tells this package from others of the same name
