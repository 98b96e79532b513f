"""fastsiam: SimSiam against the mean of several other views (Pototzky et al. 2022)."""
from .simsiam import loss  # noqa: F401

LEAST = 2
VARIANTS = [{}]
VIEWS = 4
