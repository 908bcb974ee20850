"""Taichi: Python functions compiled by LLVM's PTX back end, with a runtime of its own on the device."""

import numpy as np
import taichi as ti

ti.init(arch=ti.cuda, offline_cache=False, log_level=ti.ERROR)

N = 4096
Floats = ti.types.ndarray(dtype=ti.f32, ndim=1)


@ti.kernel
def total(x: Floats) -> ti.f32:
    s = 0.0
    for i in x:
        s += x[i]
    return s


@ti.kernel
def largest(x: Floats) -> ti.f32:
    m = -1e30
    for i in x:
        ti.atomic_max(m, x[i])
    return m


@ti.kernel
def reversed_in_blocks(x: Floats, to: Floats):
    ti.loop_config(block_dim=128)
    for i in range(N):
        shared = ti.simt.block.SharedArray((128,), ti.f32)
        at = i % 128
        shared[at] = x[i]
        ti.simt.block.sync()
        to[i] = shared[127 - at]


@ti.kernel
def lanes_above(to: ti.types.ndarray(dtype=ti.i32, ndim=1)):
    ti.loop_config(block_dim=32)
    for i in range(32):
        to[i] = ti.simt.warp.shfl_down_i32(ti.u32(0xFFFFFFFF), i, 4)


@ti.kernel
def decompose(m: ti.types.ndarray(dtype=ti.math.mat3, ndim=1), error: Floats):
    for i in m:
        u, s, v = ti.svd(m[i])
        error[i] = (u @ s @ v.transpose() - m[i]).norm()


def arrays_and_blocks():
    x, to = np.random.rand(N).astype(np.float32), np.zeros(N, np.float32)
    assert abs(total(x) - x.sum()) < 0.1 and largest(x) == x.max()
    reversed_in_blocks(x, to)
    assert np.array_equal(to.reshape(-1, 128), x.reshape(-1, 128)[:, ::-1])
    lanes = np.zeros(32, np.int32)
    lanes_above(lanes)
    assert np.array_equal(lanes[:28], np.arange(4, 32))
    matrices, error = ti.Matrix.ndarray(3, 3, ti.f32, shape=16), ti.ndarray(ti.f32, 16)
    matrices.from_numpy(np.random.rand(16, 3, 3).astype(np.float32))
    decompose(matrices, error)
    assert error.to_numpy().max() < 1e-4


def structures():
    """Sparse and growing fields: allocated on the device by Taichi's own runtime."""
    sparse, grown = ti.field(ti.f32), ti.field(ti.i32)
    ti.root.pointer(ti.ij, (8, 8)).dense(ti.ij, (4, 4)).place(sparse)
    ti.root.dynamic(ti.i, 1024, chunk_size=32).place(grown)

    @ti.kernel
    def activate():
        sparse[3, 4] = 1.0
        sparse[20, 9] = 2.0
        for i in range(100):
            grown.append(i)

    @ti.kernel
    def active() -> ti.i32:
        count = 0
        for _i, _j in sparse:
            count += 1
        return count * 1000 + grown.length()

    activate()
    assert active() == 32_100


def functions():
    pairs = ((ti.sin, np.sin), (ti.tan, np.tan), (ti.acos, np.arccos), (ti.exp, np.exp), (ti.log, np.log), (ti.ceil, np.ceil))
    for kind, numpy_kind, tolerance in ((ti.f32, np.float32, 1e-4), (ti.f64, np.float64, 1e-9)):
        for ours, theirs in pairs:

            @ti.kernel
            def apply(x: ti.types.ndarray(dtype=kind, ndim=1)):
                for i in x:
                    x[i] = ours(x[i])

            x = np.random.rand(256).astype(numpy_kind) * 0.8 + 0.1
            result = x.copy()
            apply(result)
            assert np.allclose(result, theirs(x), rtol=tolerance, atol=tolerance), ours


def derivatives_and_algorithms():
    x, loss = ti.field(ti.f32, 16, needs_grad=True), ti.field(ti.f32, (), needs_grad=True)

    @ti.kernel
    def cubes():
        for i in x:
            loss[None] += x[i] ** 3

    x.fill(2.0)
    with ti.ad.Tape(loss):
        cubes()
    assert np.allclose(x.grad.to_numpy(), 12)
    keys, values = ti.field(ti.f32, 1000), ti.field(ti.i32, 1000)
    random = np.random.rand(1000).astype(np.float32)
    keys.from_numpy(random)
    values.from_numpy(np.arange(1000, dtype=np.int32))
    ti.algorithms.parallel_sort(keys, values)
    assert np.array_equal(keys.to_numpy(), np.sort(random))


arrays_and_blocks()
structures()
functions()
derivatives_and_algorithms()
print("Taichi: all passed")
