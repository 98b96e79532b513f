"""The mean square of the difference of two views' embeddings."""
LEAST = 1
VARIANTS = [{}, {"weight": 3}]


def loss(m):
    return m.key("weight") * ((m.z[0] - m.z[1]) ** 2).mean()
