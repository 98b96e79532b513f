"""MMCR (Yerxa et al. 2023): minus the sum of singular values of the samples' mean embeddings."""
import torch

from methods import bank, unit

LEAST = 1
VARIANTS = [{}, {"views": 5}]


def loss(m):
    """The norm of C is <C, U V'>, and U V' is its gradient: without torch's own, which divides by differences of singular values. Of what
    is below 2^-20 of the largest there is nothing, as kernels/op/nuclear_norm.h says."""
    centres = torch.stack([unit(z) for z in m.z]).mean(0)
    u, s, v = torch.linalg.svd(centres.detach(), full_matrices=False)
    kept = s > 2.0**-20 * s.max()
    return -(centres * (u[:, kept] @ v[kept])).sum()


RELATIONS = [bank]
