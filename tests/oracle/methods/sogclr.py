"""SogCLR (Yuan et al. 2022): DCL whose denominator is a moving average of each image's own, kept as a logarithm."""
import torch

from methods import far, inputs, pairs

LEAST = 2
IMAGES = True
VARIANTS = [{}, {"gamma": 0.3, "temperature": 0.5}, {"gamma": 1, "temperature": 0.02}, {"places": True}]


def draw(name, shape, generator):
    """Some images are new; what stands there does not matter."""
    if name == "seen":
        return torch.from_numpy(generator.random(shape) < 0.7).float()
    return torch.from_numpy(2 + generator.standard_normal(shape))


def averages(m, s, out):
    """u of each anchor, and the g of each."""
    skipped_all = out.all(1)
    g = (s / m.key("temperature")).exp().masked_fill(out, 0).sum(1) / (len(s) - 2)
    g = torch.where(skipped_all, torch.ones_like(g), g)
    images = m.images.repeat(2)
    u, seen = m.state["log_u"][images, 0].exp(), m.state["seen"][images, 0] > 0
    return torch.where(seen, (1 - m.key("gamma")) * u + m.key("gamma") * g, g), g


def loss(m):
    """Its value is that of T (g / u) log g with the weights as numbers, whose gradient is that of sum p s / count."""
    s, rows, positive, out = pairs(m)
    out[rows, positive] = True
    u, g = averages(m, s, out)
    anchors = m.key("temperature") * (g / u).detach() * g.log() - s[rows, positive]
    return anchors.sum() / (len(s) // 2)


def after(m):
    s, rows, positive, out = pairs(m)
    out[rows, positive] = True
    u, _ = averages(m, s, out)
    log_u, seen = m.state["log_u"].clone(), m.state["seen"].clone()
    for sample, image in enumerate(m.images):
        log_u[image] = ((u[sample] + u[sample + len(u) // 2]) / 2).log()
        seen[image] = 1
    return {"log_u": log_u, "seen": seen}


def published(m):
    """The loss as the released code has it."""
    s, rows, positive, out = pairs(m)
    out[rows, positive] = True
    u, _ = averages(m, s, out)
    p = ((s / m.key("temperature")).exp() / u[:, None]).masked_fill(out, 0).detach()
    return ((p * s).sum(1) / (len(s) - 2) - s[rows, positive]).sum() / (len(s) // 2)


def as_dcl(program, views, **more):
    wanted = type(program)("dcl")(views, keys={"temperature": 0.3})["gradients"]
    got = program(views, keys={"temperature": 0.3, **more.pop("keys", {})}, **more)["gradients"]
    return far(got, [2 * 0.3 * x for x in wanted]), 2e-6


def new(program, generator):
    """has, of images that are new, 2 T times DCL's gradient"""
    return as_dcl(program, inputs(generator, "usual", 2, 33, 31))


def at_once(program, generator):
    """has at gamma = 1 2 T times DCL's gradient, whatever it kept"""
    arrays = {name: draw(name, (66, 1), generator) for name in ("log_u", "seen")}
    return as_dcl(program, inputs(generator, "usual", 2, 33, 31), keys={"gamma": 1}, arrays=arrays)


class Seen:
    """What `published` asks of a step."""

    def __init__(self, z, arrays, images):
        self.z, self.state, self.images, self.skip = z, {n: x.double() for n, x in arrays.items()}, torch.from_numpy(images), None

    def key(self, name):
        return {"temperature": 0.3, "gamma": 0.9}[name]


def released(program, generator):
    """has the gradient of the released code's loss, sum p s with the weights p as numbers"""
    views, images = inputs(generator, "usual", 2, 33, 31), generator.integers(0, 66, 33)
    arrays = {name: draw(name, (66, 1), generator) for name in ("log_u", "seen")}
    z = [v.double().requires_grad_() for v in views]
    published(Seen(z, arrays, images)).backward()
    got = program(views, keys={"temperature": 0.3}, arrays=arrays, images=images)["gradients"]
    return far(got, [x.grad for x in z]), 2e-6


RELATIONS = [new, at_once, released]
