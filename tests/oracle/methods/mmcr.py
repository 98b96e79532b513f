"""mmcr: minus the sum of singular values of the samples' mean embeddings (Yerxa et al. 2023)."""
import torch
from torch.nn import functional

LEAST = 1
VARIANTS = [{}]
VIEWS = 3


def loss(m):
    """Singular values below 2^-20 of the largest count as 0, and give no gradient; torch's would be of chance directions."""
    centres = torch.stack([functional.normalize(z, dim=1) for z in m.z]).mean(0)
    u, s, v = torch.linalg.svd(centres.detach(), full_matrices=False)
    kept = s > 2.0**-20 * s.max()
    return -(centres * (u[:, kept] @ v[kept])).sum()  # <C, U V'> is the norm, and U V' its gradient
