"""The CUDA C of the kernels, see `cuda_kernels.py`.

Activations are (H, W, C), 16 bytes of channels a thread (a *pack*), a row of the picture for each row of
the grid.
"""

from __future__ import annotations

import torch

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
