"""cuda-python (cuda.bindings): NVIDIA's own binding of the driver API, with kernels compiled by NVRTC."""

import ctypes

import nvidia_wheels

nvidia_wheels.load()

import numpy as np  # noqa: E402
from cuda.bindings import driver, nvrtc  # noqa: E402

SOURCE = rb"""
extern "C" __global__ void add(const float* a, const float* b, float* c, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) c[i] = a[i] + b[i];
}
__device__ int total;
__constant__ float factors[4];
extern "C" __global__ void count(const float* x, int n) {
    __shared__ int here;
    if (threadIdx.x == 0) here = 0;
    __syncthreads();
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n && x[i] * factors[1] > 1.0f) atomicAdd(&here, 1);
    __syncthreads();
    if (threadIdx.x == 0) atomicAdd(&total, here);
}
extern "C" __global__ void transpose(const float* from, float* to, int width, int height) {
    extern __shared__ float tile[];
    int x = blockIdx.x * 16 + threadIdx.x, y = blockIdx.y * 16 + threadIdx.y;
    if (x < width && y < height) tile[threadIdx.y * 17 + threadIdx.x] = from[y * width + x];
    __syncthreads();
    x = blockIdx.y * 16 + threadIdx.x;
    y = blockIdx.x * 16 + threadIdx.y;
    if (x < height && y < width) to[y * height + x] = tile[threadIdx.x * 17 + threadIdx.y];
}
"""


def call(result):
    """Raises where a call failed, else returns what it answered."""
    code, *answer = result
    if int(code) != 0:
        raise RuntimeError(code)
    return answer[0] if len(answer) == 1 else answer


def compile_ptx(source):
    program = call(nvrtc.nvrtcCreateProgram(source, b"kernels.cu", 0, [], []))
    call(nvrtc.nvrtcCompileProgram(program, 1, [b"--gpu-architecture=compute_80"]))
    text = b" " * call(nvrtc.nvrtcGetPTXSize(program))
    call(nvrtc.nvrtcGetPTX(program, text))
    return text


def upload(array):
    address = call(driver.cuMemAlloc(array.nbytes))
    call(driver.cuMemcpyHtoD(address, array.ctypes.data, array.nbytes))
    return address


def download(address, like):
    array = np.empty_like(like)
    call(driver.cuMemcpyDtoH(array.ctypes.data, address, array.nbytes))
    return array


def add_in_a_stream_and_in_a_graph(module, stream):
    n = 100_003
    a, b = (np.random.rand(n).astype(np.float32) for _ in range(2))
    on_device = [upload(array) for array in (a, b, a)]
    function = call(driver.cuModuleGetFunction(module, b"add"))
    kinds = (ctypes.c_void_p,) * 3 + (ctypes.c_int,)
    arguments = ((*map(int, on_device), n), kinds)
    grid = (n + 255) // 256
    begin, end = (call(driver.cuEventCreate(0)) for _ in range(2))
    call(driver.cuEventRecord(begin, stream))
    call(driver.cuLaunchKernel(function, grid, 1, 1, 256, 1, 1, 0, stream, arguments, 0))
    call(driver.cuEventRecord(end, stream))
    call(driver.cuStreamSynchronize(stream))
    assert np.array_equal(download(on_device[2], a), a + b)
    assert call(driver.cuEventElapsedTime(begin, end)) > 0
    again = ((int(on_device[2]), int(on_device[1]), int(on_device[2]), n), kinds)
    call(driver.cuStreamBeginCapture(stream, driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_GLOBAL))
    call(driver.cuLaunchKernel(function, grid, 1, 1, 256, 1, 1, 0, stream, again, 0))
    graph = call(driver.cuStreamEndCapture(stream))
    replay = call(driver.cuGraphInstantiate(graph, 0))
    expected = a + b
    for _ in range(3):
        call(driver.cuGraphLaunch(replay, stream))
        expected = expected + b
    assert np.array_equal(download(on_device[2], a), expected)


def globals_and_shared_memory(module):
    n = 5000
    x = np.random.rand(n).astype(np.float32)
    factors, _ = call(driver.cuModuleGetGlobal(module, b"factors"))
    total, size = call(driver.cuModuleGetGlobal(module, b"total"))
    assert size == 4
    values = np.array([0, 2, 0, 0], np.float32)
    call(driver.cuMemcpyHtoD(factors, values.ctypes.data, values.nbytes))
    call(driver.cuMemsetD32(total, 0, 1))
    function = call(driver.cuModuleGetFunction(module, b"count"))
    arguments = ((int(upload(x)), n), (ctypes.c_void_p, ctypes.c_int))
    call(driver.cuLaunchKernel(function, (n + 127) // 128, 1, 1, 128, 1, 1, 0, 0, arguments, 0))
    assert download(total, np.zeros(1, np.int32))[0] == np.count_nonzero(x * np.float32(2) > 1)


def dynamic_shared_memory(module):
    width, height = 75, 50
    matrix = np.random.rand(height, width).astype(np.float32)
    to = upload(np.zeros((width, height), np.float32))
    function = call(driver.cuModuleGetFunction(module, b"transpose"))
    kinds = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
    arguments = ((int(upload(matrix)), int(to), width, height), kinds)
    grid = (width + 15) // 16, (height + 15) // 16
    call(driver.cuLaunchKernel(function, *grid, 1, 16, 16, 1, 16 * 17 * 4, 0, arguments, 0))
    assert np.array_equal(download(to, np.empty((width, height), np.float32)), matrix.T)


def main():
    call(driver.cuInit(0))
    device = call(driver.cuDeviceGet(0))
    assert b"Goldlap Virtual GPU" in call(driver.cuDeviceGetName(64, device))
    context = call(driver.cuDevicePrimaryCtxRetain(device))
    call(driver.cuCtxSetCurrent(context))
    module = call(driver.cuModuleLoadData(compile_ptx(SOURCE)))
    add_in_a_stream_and_in_a_graph(module, call(driver.cuStreamCreate(0)))
    globals_and_shared_memory(module)
    dynamic_shared_memory(module)
    call(driver.cuModuleUnload(module))
    call(driver.cuDevicePrimaryCtxRelease(device))
    print("cuda-python: all passed")


main()
