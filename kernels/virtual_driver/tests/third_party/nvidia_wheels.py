"""Finds the compiler libraries that come as PyPI packages and loads them before anything else looks for them."""

import ctypes
import os
import site


def load():
    """Loads NVRTC and points CUDA_PATH at the headers; returns the folder of the NVIDIA packages."""
    for packages in site.getsitepackages():
        root = os.path.join(packages, "nvidia")
        library = os.path.join(root, "cuda_nvrtc", "lib", "libnvrtc.so.12")
        if os.path.exists(library):
            ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
            os.environ.setdefault("CUDA_PATH", os.path.join(root, "cuda_runtime"))
            os.environ.setdefault("NVRTC_PATH", library)
            return root
    raise SystemExit("nvidia-cuda-nvrtc-cu12 is not installed: see requirements.txt")
