"""Passes over activations as kernels of our own, where torch needs several calls and reads each value
as often.

They are CUDA C, compiled for the card when they are first used by NVIDIA's own runtime compiler, which
torch brings along; no other compiler is needed. What they write is what torch's operations write, over a
picture but for rounding; these stand in wherever there is no kernel: on a CPU, for another number
format, without that compiler.

Activations are (H, W, C), 16 bytes of channels a thread (a *pack*), a row of the picture for each row of
the grid.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger(__name__)

PACK_BYTES = 16
THREADS = 256  # of a block
SUMMING_THREADS = 1 << 18  # at work on one sum: as many as the largest cards hold at once
TAPS = 32  # 3 x 3 pixels of 3 channels, filled up with zeros to what tensor cores like

# How each number format is stored, and made from a float and into one.
FORMATS = {
    torch.float32: """
typedef float T;
DEVICE float value(T x) { return x; }
DEVICE T rounded(float x) { return x; }
""",
    torch.bfloat16: """
typedef unsigned short T;
DEVICE float value(T x) { return as_float(x << 16); }
DEVICE T rounded(float x) {
  unsigned bits = as_bits(x);
  return x != x ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;  // to the nearest, ties to even
}
""",
    torch.float16: """
typedef unsigned short T;
DEVICE float value(T x) { return from_half(x); }
DEVICE T rounded(float x) { return to_half(x); }
""",
}
DEVICE_CODE = """
#define DEVICE __device__ __forceinline__
#define KERNEL extern "C" __global__ void
DEVICE float as_float(unsigned x) { return __uint_as_float(x); }
DEVICE unsigned as_bits(float x) { return __float_as_uint(x); }
DEVICE float from_half(unsigned short x) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(x));
  return f;
}
DEVICE unsigned short to_half(float f) {
  unsigned short x;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(x) : "f"(f));
  return x;
}
"""
# All indices count packs; W, w and the strides are a row's.
KERNEL_CODE = """
enum { N = 16 / sizeof(T), DEAD = 4 };
struct alignas(16) Pack { T at[N]; };
struct alignas(N) Codes { unsigned char at[N]; };

DEVICE bool is_larger(T second, T first) { float b = value(second); return b > value(first) || b != b; }

// Pools (2 h, 2 w, C) of rows of `stride`; a code is 2 * row + column of the origin, or DEAD.
KERNEL pool(const Pack* x, Pack* values, Codes* codes, int w, int C, int stride) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y;
  if (i >= w * C) return;
  const Pack* corner = x + 2LL * row * stride + i / C * 2 * C + i % C;
  Pack pixels[4] = {corner[0], corner[C], corner[stride], corner[stride + C]}, largest;
  Codes code;
  for (int n = 0; n < N; n++) {
    int upper = is_larger(pixels[1].at[n], pixels[0].at[n]);
    int lower = 2 + is_larger(pixels[3].at[n], pixels[2].at[n]);
    int from = is_larger(pixels[lower].at[n], pixels[upper].at[n]) ? lower : upper;
    largest.at[n] = pixels[from].at[n];
    code.at[n] = value(largest.at[n]) <= 0 ? DEAD : from;
  }
  values[(long long)row * w * C + i] = largest;
  codes[(long long)row * w * C + i] = code;
}

// Writes d (h, w, C) of rows of `stride` where the codes say, zero elsewhere in out (H, W, C).
KERNEL spread(
    const Pack* d, const Codes* codes, Pack* out, int H, int W, int h, int w, int C, int stride) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y, column = i / C;
  if (2 * column >= W) return;
  Pack gradient;
  Codes code;
  for (int n = 0; n < N; n++) code.at[n] = DEAD;
  if (row < h && column < w) {
    gradient = d[(long long)row * stride + i];
    code = codes[(long long)row * w * C + i];
  }
  for (int corner = 0; corner < 4; corner++) {
    int y = 2 * row + corner / 2, x = 2 * column + corner % 2;
    if (y >= H || x >= W) continue;
    Pack written;
    for (int n = 0; n < N; n++) written.at[n] = code.at[n] == corner ? gradient.at[n] : (T)0;
    out[((long long)y * W + x) * C + i % C] = written;
  }
}

DEVICE Pack sum_of(Pack one, Pack other) {
  for (int n = 0; n < N; n++) one.at[n] = rounded(value(one.at[n]) + value(other.at[n]));
  return one;
}

// Copies d, of rows of `stride`, and g, if there is one, added to it, where features are above zero;
// zero elsewhere. width: W C.
KERNEL mask(const Pack* d, const Pack* g, const Pack* features, Pack* out, int width, int stride) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y;
  if (i >= width) return;
  long long at = (long long)row * width + i;
  Pack gradient = d[(long long)row * stride + i], feature = features[at];
  if (g) gradient = sum_of(gradient, g[at]);
  for (int n = 0; n < N; n++) if (value(feature.at[n]) <= 0) gradient.at[n] = 0;
  out[at] = gradient;
}

// Adds g (H, width) to d, of rows of `stride`.
KERNEL add(Pack* d, const Pack* g, int width, int stride) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y;
  if (i >= width) return;
  Pack* sum = d + (long long)row * stride + i;
  *sum = sum_of(*sum, g[(long long)row * width + i]);
}

// Sums positions g, g + groups, g + 2 groups .. of x (positions, C) into sums (groups, C).
KERNEL sum(const Pack* x, float* sums, int positions, int groups, int C) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= groups * C) return;
  float total[N] = {};
  for (long long p = i / C; p < positions; p += groups) {
    Pack pack = x[p * C + i % C];
    for (int n = 0; n < N; n++) total[n] += value(pack.at[n]);
  }
  for (int n = 0; n < N; n++) sums[(long long)i * N + n] = total[n];
}

// Repeats the border of x (H, W, C) once around it.
KERNEL pad(const Pack* x, Pack* out, int H, int W, int C) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y;
  if (i >= (W + 2) * C) return;
  int y = min(max(row - 1, 0), H - 1), column = min(max(i / C - 1, 0), W - 1);
  out[(long long)row * (W + 2) * C + i] = x[((long long)y * W + column) * C + i % C];
}

// Gathers the 3 x 3 pixels of 3 channels around each position of x (H, W, C), the border repeated, as
// `taps` numbers, the last of them zero.
KERNEL gather(const T* x, T* out, int H, int W, int C, int taps) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y;
  if (i >= W * (taps / N)) return;
  int column = i / (taps / N), first = i % (taps / N) * N;
  Pack pack;
  for (int n = 0; n < N; n++) {
    int tap = (first + n) / 3, channel = (first + n) % 3;
    int y = min(max(row + tap / 3 - 1, 0), H - 1), at = min(max(column + tap % 3 - 1, 0), W - 1);
    pack.at[n] = tap < 9 ? x[((long long)y * W + at) * C + channel] : (T)0;
  }
  ((Pack*)out)[(long long)row * W * (taps / N) + i] = pack;
}

// Weighted differences of each pixel of x (3, H, W) to its neighbours, what is not grey `chroma` times:
// adds them, `weight` times, to gradient (H, W, 3), if there is one, and writes their product with the
// pixel to products (H, W). stride, step: of the gradient's rows and pixels.
KERNEL variation(
    const float* x, float* gradient, float* products, int H, int W, int stride, int step, float across,
    float down, float chroma, float weight) {
  int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y;
  if (column >= W) return;
  int left = max(column - 1, 0), right = min(column + 1, W - 1);
  int above = max(row - 1, 0), below = min(row + 1, H - 1);
  float pixel[3], sums[3], grey = 0, product = 0;
  for (int c = 0; c < 3; c++) {
    const float* plane = x + (long long)c * H * W;
    const float* line = plane + (long long)row * W;
    float here = 2 * (pixel[c] = line[column]), up = plane[(long long)above * W + column];
    sums[c] = across * (here - line[left] - line[right]) +
              down * (here - up - plane[(long long)below * W + column]);
    grey += sums[c] / 3;
  }
  for (int c = 0; c < 3; c++) {
    float slope = chroma * sums[c] - (chroma - 1) * grey;
    if (gradient) gradient[(long long)row * stride + column * step + c] += weight * slope;
    product += pixel[c] * slope;
  }
  products[(long long)row * W + column] = product;
}

// A step of Adam at each pixel of image (3, H, W) along gradient (H, W, 3), and of the mean after it.
// new_1, new_2: shares of the gradient and of its square in their means. stride, step: as above.
KERNEL adam(
    float* image, float* first, float* second, float* average, const float* gradient, int H, int W,
    int stride, int step, float new_1, float new_2, float rate, float epsilon, float gain) {
  int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y;
  if (column >= W) return;
  for (int c = 0; c < 3; c++) {
    long long at = ((long long)c * H + row) * W + column;
    float g = gradient[(long long)row * stride + column * step + c];
    float m = first[at] + new_1 * (g - first[at]), v = second[at] + new_2 * (g * g - second[at]);
    float x = image[at] - rate * m / (sqrtf(v) + epsilon);
    x = x < 0 ? 0 : x > 1 ? 1 : x;
    first[at] = m, second[at] = v, image[at] = x;
    average[at] += gain * (x - average[at]);
  }
}
"""
NAMES = ("pool", "spread", "mask", "add", "sum", "pad", "gather", "variation", "adam")


def find_kernels(x: Tensor) -> Kernels | None:
    """Return the kernels that take activations such as x (H, W, C), with contiguous channels; None:
    there are none, so that torch has to do it."""
    C = x.shape[2]
    if (
        not x.is_cuda
        or x.dtype not in FORMATS
        or C * x.itemsize % PACK_BYTES
        or x.stride()[1:] != (C, 1)
    ):
        return None
    return _load(x.device, x.dtype)


def find_picture_kernels(picture: Tensor) -> Kernels | None:
    """Return the kernels that take a picture such as this (1, 3, H, W); None: there are none."""
    if not picture.is_cuda or picture.dtype != torch.float32 or not picture.is_contiguous():
        return None
    return _load(picture.device, picture.dtype)


def takes_as_gradient(gradient: Tensor) -> bool:
    """Check whether the kernels of a picture take this gradient (1, 3, H, W): as the network leaves it,
    float32, the colours of a pixel side by side."""
    return gradient.dtype == torch.float32 and gradient.stride(1) == 1


def add_activations(d: Tensor, g: Tensor) -> None:
    """Add g (H, W, C), contiguous, to d, of the same shape."""
    kernels = find_kernels(d)
    if kernels:
        kernels.add(d, g)
    else:
        d += g


@lru_cache(maxsize=8)
def _load(device: torch.device, dtype: torch.dtype) -> Kernels | None:
    try:
        return Kernels(device, dtype)
    except Exception as error:  # whatever is amiss with it, there is another way
        log.warning("The card's own kernels are not used: %s: %s", type(error).__name__, error)
        return None


def compile_kernels(dtype: torch.dtype, architecture: str) -> bytes:
    """Compile the kernels for a number format and a card's architecture, such as `sm_90`: a CUDA binary.

    Raises:
        RuntimeError, ImportError: what the compiler says, or that there is none.
    """
    from cuda.bindings import nvrtc

    source = (DEVICE_CODE + FORMATS[dtype] + KERNEL_CODE).encode()
    status, program = nvrtc.nvrtcCreateProgram(source, b"activations.cu", 0, [], [])
    _check(status)
    options = [b"--gpu-architecture=" + architecture.encode()]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if int(status):
        _, size = nvrtc.nvrtcGetProgramLogSize(program)
        told = b" " * size
        nvrtc.nvrtcGetProgramLog(program, told)
        raise RuntimeError(told.decode())
    status, size = nvrtc.nvrtcGetCUBINSize(program)
    _check(status)
    binary = b" " * size
    _check(*nvrtc.nvrtcGetCUBIN(program, binary))
    return bytes(binary)


class Kernels:
    """The kernels of one number format, loaded on one card.

    Raises:
        RuntimeError, ImportError: they cannot be.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        from cuda.bindings import driver

        self._driver = driver
        major, minor = torch.cuda.get_device_capability(device)
        binary = compile_kernels(dtype, f"sm_{major}{minor}")
        status, self._module = driver.cuModuleLoadData(binary)
        _check(status)
        self._functions: dict[str, Any] = {}
        for name in NAMES:
            status, self._functions[name] = driver.cuModuleGetFunction(self._module, name.encode())
            _check(status)

    def pool(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pool (H, W, C), sides of at least 2, by the maximum of 2 x 2: (H // 2, W // 2, C), and each
        value's code, see `pooling.py`."""
        (h, w), C = (side // 2 for side in x.shape[:2]), _count_packs(x)
        values = x.new_empty(h, w, x.shape[2])
        codes = torch.empty_like(values, dtype=torch.uint8)
        self._launch("pool", h, w * C, x, values, codes, w, C, _count_row(x))
        return values, codes

    def spread(self, d: Tensor, codes: Tensor, height: int, width: int) -> Tensor:
        """Apply the adjoint of pooling and of the ReLU below: d (h, w, C) -> (height, width, C)."""
        (h, w), C = d.shape[:2], _count_packs(d)
        out = d.new_empty(height, width, d.shape[2])
        rows, columns = -(-height // 2), -(-width // 2)
        self._launch("spread", rows, columns * C, d, codes, out, height, width, h, w, C, _count_row(d))
        return out

    def mask(self, d: Tensor, features: Tensor, g: Tensor | None = None) -> Tensor:
        """Return d (H, W, C), and g added to it, where features are above zero; zero elsewhere.

        Args:
            features: contiguous. g: of the same shape, contiguous; the result is written into it.
        """
        out = torch.empty_like(features) if g is None else g
        width = d.shape[1] * _count_packs(d)
        self._launch("mask", len(d), width, d, g, features, out, width, _count_row(d))
        return out

    def add(self, d: Tensor, g: Tensor) -> None:
        """Add g (H, W, C), contiguous, to d, of the same shape."""
        width = d.shape[1] * _count_packs(d)
        self._launch("add", len(d), width, d, g, width, _count_row(d))

    def sum(self, x: Tensor) -> Tensor:
        """Sum x (positions, C), contiguous, in a number of groups: (groups, C) float32."""
        positions, C = x.shape
        packs = C * x.itemsize // PACK_BYTES
        groups = max(1, min(positions, SUMMING_THREADS // packs))
        sums = x.new_empty(groups, C, dtype=torch.float32)
        self._launch("sum", 1, groups * packs, x, sums, positions, groups, packs)
        return sums

    def pad(self, x: Tensor) -> Tensor:
        """Repeat the border of x (H, W, C), contiguous, once around it: (H + 2, W + 2, C)."""
        (H, W), C = x.shape[:2], _count_packs(x)
        out = x.new_empty(H + 2, W + 2, x.shape[2])
        self._launch("pad", H + 2, (W + 2) * C, x, out, H, W, C)
        return out

    def gather(self, x: Tensor) -> Tensor:
        """Gather the 3 x 3 pixels of 3 channels around each position of x (H, W, C), contiguous, its
        border repeated: (H W, `TAPS`), row by row of the pixels, the last ones zero."""
        H, W, C = x.shape
        out = x.new_empty(H * W, TAPS)
        self._launch("gather", H, W * TAPS * x.itemsize // PACK_BYTES, x, out, H, W, C, TAPS)
        return out

    def add_variation(
        self,
        picture: Tensor,
        gradient: Tensor | None,
        weight: float,
        across: float,
        down: float,
        chroma: float,
    ) -> Tensor:
        """Add the gradient of total variation, see `losses.tv_loss`, times `weight` to `gradient`.

        Args:
            picture: (1, 3, H, W), contiguous. gradient: see `takes_as_gradient`; None: there is none.
            across, down: weights of neighbours. chroma: of what is not grey.

        Returns:
            Terms whose sum is twice the loss, (H, W) float32.
        """
        _, _, H, W = picture.shape
        products = picture.new_empty(H, W)
        strides = (0, 0) if gradient is None else gradient.stride()[2:]
        weights = (across, down, chroma, weight)
        self._launch("variation", H, W, picture, gradient, products, H, W, *strides, *weights)
        return products

    def step_by_adam(
        self, state: Sequence[Tensor], gradient: Tensor, new: Sequence[float], *factors: float
    ) -> None:
        """Take a step of Adam, see `optimisers.Adam`.

        Args:
            state: the picture, both moments and the mean, each (1, 3, H, W), contiguous.
            gradient: see `takes_as_gradient`. new: the shares of the gradient in both moments.
            factors: the rate, epsilon, and the picture's share in the mean.
        """
        _, _, H, W = gradient.shape
        strides = gradient.stride()[2:]
        self._launch("adam", H, W, *state, gradient, H, W, *strides, *new, *factors)

    def _launch(self, name: str, rows: int, width: int, *arguments: Tensor | float | None) -> None:
        """Launch a kernel on the current stream with a thread for each of `width` in each row."""
        values = tuple(get_value(a) for a in arguments)
        kinds = tuple(choose_kind(a) for a in arguments)
        blocks, stream = -(-width // THREADS), torch.cuda.current_stream().cuda_stream
        where = (blocks, rows, 1, THREADS, 1, 1, 0, stream)
        _check(*self._driver.cuLaunchKernel(self._functions[name], *where, (values, kinds), 0))


def get_value(argument: Tensor | float | None) -> float:
    """Return what C takes for an argument: a tensor's address, 0 for none."""
    if argument is None:
        return 0
    return argument.data_ptr() if isinstance(argument, Tensor) else argument


def choose_kind(argument: Tensor | float | None) -> type[Any]:
    """Choose the C type of an argument."""
    if argument is None or isinstance(argument, Tensor):
        return ctypes.c_void_p
    return ctypes.c_int if isinstance(argument, int) else ctypes.c_float


def _count_packs(x: Tensor) -> int:
    """Count the packs of a position."""
    return x.shape[2] * x.itemsize // PACK_BYTES


def _count_row(x: Tensor) -> int:
    """Count the packs between the beginnings of two rows."""
    return x.stride(0) * x.itemsize // PACK_BYTES


def _check(status: Any) -> None:
    """Raise RuntimeError unless a call of NVIDIA's libraries went well."""
    if int(status):
        raise RuntimeError(str(status))
