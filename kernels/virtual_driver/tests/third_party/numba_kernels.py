"""numba-cuda: Python functions compiled by NVVM, linked by the driver's linker."""

import os
import warnings

root = __import__("nvidia_wheels").load()
os.environ.setdefault("CUDA_HOME", os.path.join(root, "cuda_nvcc"))
os.environ["CUDA_PYTHON_DISABLE_MAJOR_VERSION_WARNING"] = "1"
warnings.filterwarnings("ignore")

import math  # noqa: E402

import numpy as np  # noqa: E402
from numba import cuda, float32  # noqa: E402


@cuda.jit
def axpy(result, a, x, y):
    i = cuda.grid(1)
    if i < result.size:
        result[i] = a * x[i] + y[i]


@cuda.jit
def tiled_matmul(a, b, c):
    left, right = cuda.shared.array((8, 8), float32), cuda.shared.array((8, 8), float32)
    x, y = cuda.grid(2)
    tx, ty = cuda.threadIdx.x, cuda.threadIdx.y
    total = float32(0)
    for tile in range(a.shape[1] // 8):
        left[tx, ty] = a[x, tile * 8 + ty]
        right[tx, ty] = b[tile * 8 + tx, y]
        cuda.syncthreads()
        for k in range(8):
            total += left[tx, k] * right[k, ty]
        cuda.syncthreads()
    c[x, y] = total


@cuda.jit
def histogram(values, bins):
    i = cuda.grid(1)
    if i < values.size:
        cuda.atomic.add(bins, int(values[i] * bins.size), 1)


@cuda.jit
def distances(points, result):
    i = cuda.grid(1)
    if i < points.shape[0]:
        result[i] = math.sqrt(points[i, 0] ** 2 + points[i, 1] ** 2) + math.exp(-points[i, 0])


@cuda.reduce
def add(a, b):
    return a + b


def main():
    n = 5000
    x, y = np.random.rand(n).astype(np.float32), np.random.rand(n).astype(np.float32)
    result = cuda.device_array_like(x)
    axpy[(n + 127) // 128, 128](result, np.float32(2), cuda.to_device(x), cuda.to_device(y))
    assert np.allclose(result.copy_to_host(), 2 * x + y)

    a, b = np.random.rand(32, 24).astype(np.float32), np.random.rand(24, 16).astype(np.float32)
    c = np.zeros((32, 16), np.float32)
    tiled_matmul[(4, 2), (8, 8)](a, b, c)
    assert np.allclose(c, a @ b, rtol=1e-5)

    bins = np.zeros(10, np.int32)
    histogram[(n + 127) // 128, 128](x, bins)
    assert np.array_equal(bins, np.bincount((x * 10).astype(int), minlength=10))

    points, found = np.random.rand(100, 2), np.zeros(100)
    distances[4, 32](points, found)
    assert np.allclose(found, np.hypot(points[:, 0], points[:, 1]) + np.exp(-points[:, 0]), rtol=1e-12)

    whole = np.arange(1000, dtype=np.float64)
    assert add(whole) == whole.sum()

    stream = cuda.stream()
    with stream.auto_synchronize():
        on_device = cuda.to_device(x, stream=stream)
        axpy[(n + 127) // 128, 128, stream](on_device, np.float32(1), on_device, on_device)
        back = on_device.copy_to_host(stream=stream)
    assert np.allclose(back, 2 * x)
    print("numba-cuda: all passed")


main()
