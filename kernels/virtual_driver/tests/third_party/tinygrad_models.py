"""tinygrad: its own kernels through its CUDA backend (NVRTC), eager and as captured graphs, against numpy."""

import os

import nvidia_wheels

nvidia_wheels.load()
os.environ["DEV"] = "CUDA"
os.environ["CACHELEVEL"] = "0"
os.environ["TRAINING"] = "1"

import numpy as np  # noqa: E402
from tinygrad import Tensor, TinyJit, nn  # noqa: E402


def close(found, expected, tolerance):
    assert found.shape == expected.shape, (found.shape, expected.shape)
    worst = float(np.abs(found.astype(np.float64) - expected).max())
    assert worst <= tolerance, f"off by {worst}, allowed {tolerance}"


def matmul(kind, tolerance):
    a, b = np.random.rand(64, 96).astype(np.float32), np.random.rand(96, 48).astype(np.float32)
    found = Tensor(a).cast(kind).matmul(Tensor(b).cast(kind)).float().numpy()
    close(found, a.astype(np.float64) @ b, tolerance)


def softmax():
    x = np.random.randn(33, 100).astype(np.float32)
    e = np.exp(x - x.max(-1, keepdims=True).astype(np.float64))
    close(Tensor(x).softmax(-1).numpy(), e / e.sum(-1, keepdims=True), 1e-6)


def convolution():
    x, w = np.random.randn(2, 3, 12, 12).astype(np.float32), np.random.randn(5, 3, 3, 3).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (3, 3), (2, 3))
    close(Tensor(x).conv2d(Tensor(w)).numpy(), np.einsum("nchwij,ocij->nohw", windows, w), 1e-4)


def sort_and_sums():
    x = np.random.randn(200).astype(np.float32)
    close(Tensor(x).sort()[0].numpy(), np.sort(x), 0)
    close(Tensor(x).cumsum(0).numpy(), np.cumsum(x.astype(np.float64)), 1e-4)
    assert Tensor(x).argmax().item() == int(x.argmax())


def a_graph_is_replayed():
    @TinyJit
    def step(x):
        return ((x * 2 + 1).relu().sum(-1) + x.max(-1)).realize()

    for _ in range(5):
        x = np.random.randn(16, 20).astype(np.float32)
        close(step(Tensor(x).realize()).numpy(), np.maximum(2 * x + 1, 0).sum(-1) + x.max(-1), 1e-4)


def a_network_learns():
    Tensor.manual_seed(1)
    first, second = nn.Linear(8, 16), nn.Linear(16, 1)
    optimizer = nn.optim.Adam([first.weight, first.bias, second.weight, second.bias], lr=0.02)
    x = Tensor(np.random.RandomState(1).randn(64, 8).astype(np.float32))
    wanted = (x.sum(-1, keepdim=True) * 0.5).realize()
    losses = []
    for _ in range(20):
        loss = (second(first(x).gelu()) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0], losses


def main():
    matmul("float32", 1e-4)
    matmul("float16", 0.1)
    matmul("bfloat16", 0.7)
    softmax()
    convolution()
    sort_and_sums()
    a_graph_is_replayed()
    a_network_learns()
    print("tinygrad: all passed")


main()
