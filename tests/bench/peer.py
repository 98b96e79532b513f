#!/usr/bin/python3
"""The peers of bench.py as workers (worker.h): `step SIDE BATCH f32|bf16 THREADS ENCODER last|first eager|compiled`: PyTorch's training step
of the same network, a ResNet or one of timm's, loss and optimiser, channels last or first, the backbone by torch.compile or not; `cache SIDE
BATCH CHUNK last|first THREADS`: ResNet-18's in f32 with the batch in chunks of views by a gradient cache (Gao et al. 2021), residual blocks
checkpointed; `view TILE SIDE`: two views of torchvision's SimCLR chain of a PIL image, one thread; `loss SAMPLES WIDTH THREADS`: the
denominators of DCL by the matrix of all pairs, and their gradient. `version`: PyTorch's, printed."""
import sys
import time
from pathlib import Path

import numpy
import torch
import torchvision
from torch.utils.checkpoint import checkpoint
from torchvision import transforms

sys.path.append(str(Path(__file__).parents[2] / "build/timm"))


def memory(name):
    for line in open("/proc/self/status"):
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


def serve(work, base):
    for line in sys.stdin:
        begin, busy = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            work()
        print(time.perf_counter() - begin, time.process_time() - busy, memory("VmHWM") - base, flush=True)


def of_timm(encoder, side):
    """As our encoder is; MobileNet's last layer is timm's own, and a projector's first here."""
    import timm
    if encoder.startswith("vit"):
        return timm.create_model(f"{encoder}_patch16_224", num_classes=0, img_size=side, patch_size=32, class_token=False, global_pool="avg")
    return timm.create_model(encoder, num_classes=0)


def network(encoder="resnet18", side=0):
    """The encoder, the projector and their optimiser, as step_tool's configuration has them."""
    if encoder.startswith("resnet"):
        backbone = getattr(torchvision.models, encoder)()
        width, backbone.fc = backbone.fc.in_features, torch.nn.Identity()
    else:
        backbone = of_timm(encoder, side)
        width = 1280 if encoder.startswith("mobilenet") else backbone.num_features
    linear, norm = torch.nn.Linear, torch.nn.BatchNorm1d
    projector = torch.nn.Sequential(linear(width, width, bias=False), norm(width), torch.nn.ReLU(inplace=True),
                                    linear(width, 128, bias=False), norm(128))
    optimiser = torch.optim.SGD([*backbone.parameters(), *projector.parameters()], lr=1e-4, momentum=0.9, weight_decay=1e-4)
    return backbone, projector, optimiser


def random_pixels(views, side):
    return torch.randint(0, 256, (views, side, side, 3), dtype=torch.uint8)


def normalise(pixels):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((pixels.float() / 255 - mean) / std).permute(0, 3, 1, 2)


def dcl(batch):
    """The loss of embeddings [2 batch, width]."""
    rows = torch.arange(2 * batch)
    positive = (rows + batch) % (2 * batch)
    out = torch.eye(2 * batch, dtype=torch.bool)
    out[rows, positive] = True

    def of(embeddings):
        z = torch.nn.functional.normalize(embeddings, dim=1)
        logits = z @ z.T / 0.1
        return (torch.logsumexp(logits.masked_fill(out, -torch.inf), 1) - logits[rows, positive]).mean()

    return of


def compiled(backbone, x):
    """The backbone by torch.compile; as it is where that does not work (in PyTorch 1.13 there is none)."""
    try:
        made = torch.compile(backbone)
        made(x).sum().backward()
        return made
    except Exception as error:  # noqa: BLE001, whatever it lacks
        print(f"bench: torch.compile does not work here, eager is measured in its place: {str(error).splitlines()[0]}", file=sys.stderr)
        return backbone


def step(side, batch, precision, threads, encoder, layout, how):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    if not encoder.startswith("resnet"):
        import timm  # noqa: F401, what it takes is not the step's
    base = memory("VmRSS")
    backbone, projector, optimiser = network(encoder, side)
    form = {"last": torch.channels_last, "first": torch.contiguous_format}[layout]
    backbone = backbone.to(memory_format=form)
    pixels, loss_of = random_pixels(2 * batch, side), dcl(batch)
    forward = backbone
    if how == "compiled":
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            forward = compiled(backbone, normalise(pixels).contiguous(memory_format=form))

    def work():
        x = normalise(pixels).contiguous(memory_format=form)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            features = forward(x)
        loss = loss_of(projector(features.float()))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    serve(work, base)


def cache(side, batch, chunk, layout, threads):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    form = {"last": torch.channels_last, "first": torch.contiguous_format}[layout]
    pixels, loss_of = random_pixels(2 * batch, side), dcl(batch)
    base = memory("VmRSS")  # as in step_tool, with the views there
    backbone, projector, optimiser = network()
    backbone = backbone.to(memory_format=form)
    blocks = [b for s in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4) for b in s]

    def encode(views):
        x = normalise(views).contiguous(memory_format=form)
        x = backbone.maxpool(backbone.relu(backbone.bn1(backbone.conv1(x))))
        for block in blocks:
            x = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)
        return backbone.avgpool(x).flatten(1)

    def work():  # all chunks without a graph, the loss and its gradient at the features, each chunk again with that
        optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            features = torch.cat([encode(views) for views in pixels.split(chunk)])
        features.requires_grad_()
        loss_of(projector(features)).backward()
        for views, gradient in zip(pixels.split(chunk), features.grad.split(chunk)):
            encode(views).backward(gradient)
        optimiser.step()

    serve(work, base)


def view(tile, side):
    torch.set_num_threads(1)
    torch.manual_seed(1)
    from PIL import Image
    image = Image.fromarray(numpy.random.default_rng(1).integers(0, 256, (tile, tile, 3), dtype=numpy.uint8))
    width = side // 10 | 1
    chain = transforms.Compose([
        transforms.RandomResizedCrop(side, scale=(0.2, 1)), transforms.RandomHorizontalFlip(),
        transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8), transforms.RandomGrayscale(0.2),
        transforms.RandomApply([transforms.GaussianBlur(width, (0.1, 2))], 0.5), transforms.PILToTensor()])
    serve(lambda: (chain(image), chain(image)), 0)


def loss(samples, width, threads):
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    rows = torch.arange(2 * samples)
    z = torch.nn.functional.normalize(torch.rand(2 * samples, width) - 0.5, dim=1).requires_grad_()
    base = memory("VmRSS")
    out = torch.eye(2 * samples, dtype=torch.bool)
    out[rows, (rows + samples) % (2 * samples)] = True

    def work():
        z.grad = None
        torch.logsumexp((z @ z.T / 0.1).masked_fill(out, -torch.inf), 1).mean().backward()

    serve(work, base)


if sys.argv[1] == "version":
    print(torch.__version__.split("+")[0])
elif sys.argv[1] == "step":
    step(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), *sys.argv[6:])
elif sys.argv[1] == "cache":
    cache(*map(int, sys.argv[2:5]), sys.argv[5], int(sys.argv[6]))
elif sys.argv[1] == "loss":
    loss(*map(int, sys.argv[2:]))
else:
    view(int(sys.argv[2]), int(sys.argv[3]))
