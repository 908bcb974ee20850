"""Dr.Jit: traces array programs, writes PTX itself and loads libcuda on its own."""

import drjit as dr
import numpy as np
from drjit.cuda import PCG32, Float, Float16, Float64, TensorXf, UInt, UInt64
from drjit.cuda.ad import Float as Differentiable

N = 5000


def elementwise(x):
    host = np.array(x)
    pairs = (
        (dr.sin, np.sin),
        (dr.cos, np.cos),
        (dr.exp, np.exp),
        (dr.log, np.log),
        (dr.sqrt, np.sqrt),
        (dr.tanh, np.tanh),
        (dr.asin, np.arcsin),
        (dr.cbrt, np.cbrt),
        (dr.floor, np.floor),
        (dr.round, np.round),
        (dr.rcp, np.reciprocal),
    )
    for ours, theirs in pairs:
        assert np.allclose(np.array(ours(x)), theirs(host), rtol=1e-4, atol=1e-5), ours
    double = host.astype(np.float64)
    assert np.allclose(np.array(dr.exp(Float64(double))), np.exp(double), rtol=1e-12)
    assert np.allclose(np.array(Float16(x) * 2), host * 2, rtol=1e-2)


def integers(y):
    host = np.arange(N, dtype=np.uint32)
    assert dr.sum(y)[0] == N * (N - 1) // 2 and dr.max(y)[0] == N - 1
    assert np.array_equal(np.array(dr.cumsum(y)), np.cumsum(host))
    assert np.array_equal(np.array(dr.compress(y % 3 == 0)), np.arange(0, N, 3))
    assert np.array_equal(np.array(dr.popcnt(y)), [bin(n).count("1") for n in range(N)])
    assert np.array_equal(np.array(dr.block_sum(y, 10)), host.reshape(-1, 10).sum(1))
    wide = dr.arange(UInt64, N) * UInt64(0x123456789)
    assert np.array_equal(np.array(wide), host.astype(np.uint64) * np.uint64(0x123456789))


def scatter_and_gather(x, y):
    counts = dr.zeros(UInt, 16)
    dr.scatter_add(counts, UInt(1), y % 16)
    assert np.array_equal(np.array(counts), np.bincount(np.arange(N) % 16))
    for operation, start, expected in ((dr.ReduceOp.Max, 0, np.maximum), (dr.ReduceOp.Min, N, np.minimum)):
        place, host = dr.full(UInt, start, 16), np.full(16, start)
        dr.scatter_reduce(operation, place, y, y % 16)
        expected.at(host, np.arange(N) % 16, np.arange(N))
        assert np.array_equal(np.array(place), host), operation
    assert np.array_equal(np.array(dr.gather(Float, x, dr.reverse(y))), np.array(x)[::-1])


@dr.syntax
def repeated(x, times):
    i, total = UInt(0), Float(0)
    while i < times:
        total += x
        i += 1
    return total


@dr.syntax
def split(x):
    if x > 0.5:
        result = x * 2
    else:
        result = -x
    return result


def control_flow(x):
    host = np.array(x)
    assert np.allclose(np.array(repeated(x, UInt(10))), host * 10, rtol=1e-4)
    assert np.allclose(np.array(split(x)), np.where(host > 0.5, host * 2, -host))


def derivatives_tensors_and_random_numbers(x):
    host = np.array(x)
    a = Differentiable(host)
    dr.enable_grad(a)
    dr.backward(dr.sum(dr.sin(a) * a))
    assert np.allclose(np.array(a.grad), np.cos(host) * host + np.sin(host), rtol=1e-4)
    cube = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert np.allclose(np.array(dr.sum(TensorXf(cube), axis=1)), cube.sum(1))
    assert abs(dr.mean(PCG32(size=N).next_float32())[0] - 0.5) < 0.03


def main():
    x, y = dr.linspace(Float, 0.1, 0.9, N), dr.arange(UInt, N)
    elementwise(x)
    integers(y)
    scatter_and_gather(x, y)
    control_flow(x)
    derivatives_tensors_and_random_numbers(x)
    print("Dr.Jit: all passed")


main()
