"""What the trainer computes, written down a second time with PyTorch: encoder, projector, losses, optimisers. For the tests in this folder."""
import json
import sys
from pathlib import Path

import numpy
import torch
import torchvision

sys.path.append(str(Path(__file__).parents[2] / "build/timm"))
try:
    import timm
except ImportError:  # PyPI was out of reach (./run check)
    timm = None

MEAN = {c: (0.485, 0.456, 0.406)[:c * (c > 2)] + (0.449,) * (c - 3 * (c > 2)) for c in range(1, 9)}
DEVIATION = {c: (0.229, 0.224, 0.225)[:c * (c > 2)] + (0.226,) * (c - 3 * (c > 2)) for c in range(1, 9)}


def contrastive(method, x, temperature, skip=None):
    """SimCLR's NT-Xent or DCL of embeddings [2n, width], mean over the 2n anchors. skip [n, n]: pairs that are no negatives."""
    n = len(x) // 2
    z = torch.nn.functional.normalize(x, dim=1)
    logits = z @ z.T / temperature
    rows = torch.arange(2 * n)
    positive = (rows + n) % (2 * n)
    out = torch.eye(2 * n, dtype=torch.bool)
    if method == "dcl":
        out[rows, positive] = True
    if skip is not None:
        both = torch.tensor(skip != 0).repeat(2, 2)
        same = torch.eye(n, dtype=torch.bool).repeat(2, 2)
        out |= both & ~same
    lse = torch.logsumexp(logits.masked_fill(out, -torch.inf), dim=1)
    lse = torch.where(out.all(dim=1), torch.zeros_like(lse), lse)
    return (lse - logits[rows, positive]).mean()


def projector(width, layers, out, last_norm):
    """Linear, batch norm, ReLU; the last layer: linear and batch norm without shift, or linear with bias."""
    parts = []
    for _ in range(layers - 1):
        parts += [torch.nn.Linear(width, width, bias=False), torch.nn.BatchNorm1d(width), torch.nn.ReLU()]
    parts.append(torch.nn.Linear(width, out, bias=not last_norm))
    if last_norm:
        parts.append(torch.nn.BatchNorm1d(out))
        parts[-1].register_parameter("bias", None)
    return torch.nn.Sequential(*parts)


class StandardConv2d(torch.nn.Conv2d):
    """Weight standardisation (Qiao et al. 2019)."""

    def forward(self, x):
        rows = self.weight.flatten(1)
        mean, variance = rows.mean(1, keepdim=True), rows.var(1, correction=0, keepdim=True)
        weight = ((rows - mean) / (variance + 1e-6).sqrt()).reshape(self.weight.shape)
        return torch.nn.functional.conv2d(x, weight, stride=self.stride, padding=self.padding)


class FrozenBatchNorm(torch.nn.BatchNorm2d):
    """Of statistics, scale and shift that stay as they are. All four are where a batch norm has them; none learns."""

    def __init__(self, channels):
        super().__init__(channels)
        torch.nn.init.normal_(self.bias, std=0.1)
        self.running_mean.normal_(std=0.1)
        self.running_var.uniform_(0.5, 1.5)

    def forward(self, x):
        scale = (self.weight / (self.running_var + self.eps).sqrt()).detach()
        shift = (self.bias - self.running_mean * scale).detach()
        return x * scale[:, None, None] + shift[:, None, None]


class FrozenBatchNormAct(timm.layers.BatchNormAct2d if timm else object):
    def forward(self, x):
        return self.act(FrozenBatchNorm.forward(self, x))


NORMS = {"batch": torch.nn.BatchNorm2d, "group": lambda channels: torch.nn.GroupNorm(32, channels), "frozen": FrozenBatchNorm}


def resnet(keys):
    """torchvision's. Residual branches start small (Goyal et al. 2017 take 0), or rounding errors would double from block to block."""
    name, channels = keys["encoder.name"], keys["data.channels"]
    stem, norm = keys.get("encoder.stem", "imagenet"), keys.get("encoder.norm", "batch")
    net = torchvision.models.__dict__[name](norm_layer=NORMS[norm])
    if stem == "small":
        net.conv1 = torch.nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        net.maxpool = torch.nn.Identity()
    elif channels != 3:
        net.conv1 = torch.nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    if stem == "stride4":
        net.conv1.stride = (4, 4)
    for module in net.modules():
        if norm == "group" and keys.get("encoder.standardise") != "false" and isinstance(module, torch.nn.Conv2d):
            module.__class__ = StandardConv2d
    for parameter_name, p in net.named_parameters():
        if parameter_name.endswith("bn3.weight" if name == "resnet50" else "bn2.weight"):
            torch.nn.init.constant_(p, 0.25)
    width, net.fc = net.fc.in_features, torch.nn.Identity()
    return net, width


def mobilenetv4(keys):
    """timm's, as a network of features: what our encoder gives out; what timm has behind them is `behind`. Norms are frozen, with
    the statistics of noise: of batches, so many behind each other would multiply rounding until no activation were safe from its kink. Residual branches start small, as above."""
    net = timm.create_model(keys["encoder.name"], num_classes=0, in_chans=keys["data.channels"])

    class Features(type(net)):
        def forward(self, x):
            return self.forward_features(x).mean((2, 3))

        def behind(self, features):
            return self.norm_head(self.conv_head(features[..., None, None])).flatten(1)

    net.__class__ = Features
    assert keys["encoder.norm"] == "frozen"
    norms = {name: module for name, module in net.named_modules() if isinstance(module, timm.layers.BatchNormAct2d) and name != "norm_head"}
    for name, module in norms.items():
        module.momentum = 1
        torch.nn.init.normal_(module.bias, std=0.1)
        torch.nn.init.constant_(module.weight, 0.25 if "pw_proj" in name else 1)
    with torch.no_grad():
        net.train().forward_features(torch.randn(16, keys["data.channels"], 64, 64))
    for module in norms.values():
        module.__class__ = FrozenBatchNormAct
    return net, 1280


def convnext(keys):
    """timm's. Blocks begin with a share that shows, not with a millionth, and norms anywhere."""
    net = timm.create_model(keys["encoder.name"], num_classes=0, in_chans=keys["data.channels"])
    for name, p in net.named_parameters():
        if p.ndim == 1:
            torch.nn.init.normal_(p, 0 if name.endswith(("bias", "grn.weight")) else 0.25 if name.endswith("gamma") else 1, 0.1)
    return net, net.num_features


def vit(keys):
    """timm's. Norms, biases and positions begin anywhere, and attention looks at some places more than at others: else all class tokens are alike."""
    mean, side = keys.get("encoder.pool", "mean") == "mean", keys.get("encoder.image", keys["data.view"])
    net = timm.create_model(keys["encoder.name"] + "_patch16_224", patch_size=keys.get("encoder.patch", 16), img_size=side, num_classes=0,
                            in_chans=keys["data.channels"], class_token=not mean, global_pool="avg" if mean else "token",
                            reg_tokens=keys.get("encoder.registers", 0), dynamic_img_size=True)
    for name, p in net.named_parameters():
        if p.ndim == 1:
            torch.nn.init.normal_(p, 0 if name.endswith("bias") else 1, 0.1)
        elif p.ndim == 3 or "attn" in name:
            torch.nn.init.normal_(p, 0, 0.5 if p.ndim == 3 else 0.1)
    return net, net.num_features


FAMILIES = {"resnet": resnet, "mobilenet": mobilenetv4, "convnext": convnext, "vit": vit}


def has_reference(keys):
    return timm or keys["encoder.name"].startswith("resnet") # torchvision has some of the others, too, and is not asked for them


def network(keys):
    """The encoder without its classifier, and `projector` beside it: names are those of our checkpoints."""
    net, width = next(build for family, build in FAMILIES.items() if keys["encoder.name"].startswith(family))(keys)
    net.add_module("projector", projector(width, keys["projector.layers"], keys["projector.out"], keys["projector.last"] == "norm"))
    return net


def normalised(pixels):
    """8-bit [n, side, side, channels] -> what an encoder takes, f64 [n, channels, side, side]."""
    channels = pixels.shape[3]
    x = torch.from_numpy(pixels).double() / 255
    mean, deviation = (torch.tensor(t[channels], dtype=torch.float64) for t in (MEAN, DEVIATION))
    return ((x - mean) / deviation).permute(0, 3, 1, 2)


def embed(net, x, groups, precision=None):
    """Embeddings [n, out] of inputs [n, channels, side, side]; each group (input numbers) passes the encoder by itself."""
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        features = torch.cat([net(x[torch.as_tensor(group)]) for group in groups])
    features = features.to(x.dtype)[torch.argsort(torch.as_tensor(numpy.concatenate(groups)))]
    return net.projector(net.behind(features) if hasattr(net, "behind") else features)


class Lars(torch.optim.Optimizer):
    """You et al. 2017 with the learning rate outside of the momentum buffer; plain SGD where there is no weight decay."""

    def __init__(self, groups, lr, momentum, trust):
        super().__init__(groups, {"lr": lr, "momentum": momentum, "trust": trust, "weight_decay": 0})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                update = p.grad
                if group["decayed"]:
                    update = update + group["weight_decay"] * p
                    weight, size = p.double().norm().item(), update.double().norm().item()
                    if weight > 0 and size > 0:
                        update = group["trust"] * weight / size * update
                buffer = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
                buffer.mul_(group["momentum"]).add_(update)
                p.sub_(group["lr"] * buffer)


POSITIONS = ("cls_token", "reg_token", "pos_embed")


def optimiser(name, net, weight_decay, momentum=0.9, trust=0.001):
    """Matrices decay (and are adapted by LARS); biases, norms and what says where something is do not. The learning rate is set at each step."""
    matrices = [p for name, p in net.named_parameters() if p.ndim > 1 and name not in POSITIONS]
    vectors = [p for name, p in net.named_parameters() if p.ndim == 1 or name in POSITIONS]
    groups = [{"params": matrices, "weight_decay": weight_decay, "decayed": True},
              {"params": vectors, "weight_decay": 0, "decayed": False}]
    if name == "sgd":
        return torch.optim.SGD(groups, lr=1, momentum=momentum)
    if name == "lars":
        return Lars(groups, lr=1, momentum=momentum, trust=trust)
    return torch.optim.AdamW(groups, lr=1)


STATE = {"sgd": ["momentum_buffer"], "lars": ["momentum_buffer"], "adamw": ["exp_avg", "exp_avg_sq"]}


def load_file(path):
    """A safetensors file as a dictionary of tensors (as safetensors.torch.load_file, which Debian does not have)."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    kinds = {"F32": numpy.float32, "I64": numpy.int64}
    tensors = {}
    for name, t in json.loads(data[8:start]).items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            tensors[name] = torch.from_numpy(numpy.frombuffer(data[start + begin:start + end], kinds[t["dtype"]]).reshape(t["shape"]).copy())
    return tensors
