"""vicreg: invariance, variance, covariance (Bardes et al. 2022, section 4; the half at the variance is the released code's)."""
import torch

LEAST = 2
VARIANTS = [{}, {"method.variance": "paper"}, {"method.covariance_weight": 3, "method.invariance_weight": 2}]
VIEWS = 2


def variance(x):
    return torch.relu(1 - (x.var(0) + 1e-4).sqrt()).mean()


def covariance(x):
    c = x.T.cov().reshape(x.shape[1], -1)
    return (c.pow(2).sum() - c.diagonal().pow(2).sum()) / x.shape[1]


def loss(m):
    a, b = m.z
    half = 1 if m.key("variance") == "paper" else 0.5
    return (m.key("invariance_weight") * (a - b).pow(2).mean() + m.key("variance_weight") * half * (variance(a) + variance(b))
            + m.key("covariance_weight") * (covariance(a) + covariance(b)))


def relations(run):
    """The paper's loss has the variance twice: with half its weight it is the code's."""
    generator = torch.Generator().manual_seed(1)
    views = [torch.randn(8, 5, generator=generator, dtype=torch.float64) * 0.3 for _ in range(2)]
    code, paper = run({}, *views), run({"method.variance": "paper", "method.variance_weight": 12.5}, *views)
    return [("paper at 12.5 is code at 25", abs(code[0] - paper[0]) / abs(code[0]), 1e-6)]
