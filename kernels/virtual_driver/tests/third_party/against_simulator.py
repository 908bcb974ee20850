"""The same two numba kernels on numba's CUDA simulator and on the virtual driver: seconds of a launch.

    python against_simulator.py                       # with NUMBA_ENABLE_CUDASIM=1, or under `goldlap virtual-driver --`

The first launch compiles and does not count; the median of five counts. Both give the right sums, which is checked.
"""

import os
import statistics
import time
import warnings

if os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
    root = __import__("nvidia_wheels").load()
    os.environ.setdefault("CUDA_HOME", os.path.join(root, "cuda_nvcc"))
    os.environ["CUDA_PYTHON_DISABLE_MAJOR_VERSION_WARNING"] = "1"
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
from numba import cuda, float32  # noqa: E402


@cuda.jit
def axpy(result, a, x, y):
    i = cuda.grid(1)
    if i < result.size:
        result[i] = a * x[i] + y[i]


@cuda.jit
def tiled_matmul(a, b, c):
    # The simulator tells shared arrays apart by their lines.
    left = cuda.shared.array((8, 8), float32)
    right = cuda.shared.array((8, 8), float32)
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


def seconds(launch):
    def one():
        start = time.perf_counter()
        launch()
        cuda.synchronize()
        return time.perf_counter() - start

    one()
    return statistics.median(one() for _ in range(5))


def main():
    count = 4096
    x, y = np.arange(count, dtype=np.float32), np.ones(count, dtype=np.float32)
    x_device, y_device, result = cuda.to_device(x), cuda.to_device(y), cuda.device_array(count, np.float32)
    took = seconds(lambda: axpy[count // 128, 128](result, np.float32(2), x_device, y_device))
    assert np.array_equal(result.copy_to_host(), 2 * x + y)
    print(f"axpy of {count}: {took:.6f} s")

    size = 32
    a = np.arange(size * size, dtype=np.float32).reshape(size, size) % 7
    a_device, c = cuda.to_device(a), cuda.device_array((size, size), np.float32)
    blocks = (size // 8, size // 8)
    took = seconds(lambda: tiled_matmul[blocks, (8, 8)](a_device, a_device, c))
    assert np.array_equal(c.copy_to_host(), a @ a)
    print(f"tiled matmul, {size} x {size} x {size}: {took:.6f} s")


main()
