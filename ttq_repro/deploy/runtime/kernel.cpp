// The kernel, compiled once for each instruction set (build.py). Weights become floats in
// registers, are used for all rows of a tile, and are discarded. Only if a block of filters is used
// for many tiles are its weights worth keeping unpacked in the cache.

#include "winograd_matrices.hpp"
#include "kernel.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

// Everything but the Kernel itself has internal linkage, so that the linker cannot mix the code of
// different instruction sets.
namespace {

// A Lookup makes the weights of a block, VECTORS vectors of LANES floats, from a word. SUMS is the
// number of vectors of sums that leaves enough registers for everything else.
#if defined(__AVX512F__)

#define KERNEL kernel_avx512
typedef float Vector __attribute__((vector_size(64)));
constexpr int ROWS = 8;
constexpr int SUMS = 16;

struct Lookup {
  __m512 levels;

  explicit Lookup(const float* four) : levels(_mm512_broadcast_f32x4(_mm_loadu_ps(four))) {}

  void operator()(uint32_t word, Vector* weights) const {
    const __m512i places =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i codes = _mm512_set1_epi32(static_cast<int>(word));
    // vpermilps reads the lowest two bits of a lane and no others.
    weights[0] = _mm512_permutevar_ps(levels, _mm512_srlv_epi32(codes, places));
  }
};

#elif defined(__AVX2__)

#define KERNEL kernel_avx2
typedef float Vector __attribute__((vector_size(32)));
constexpr int ROWS = 6;
constexpr int SUMS = 12;

struct Lookup {
  __m256 levels;

  explicit Lookup(const float* four)
      : levels(_mm256_broadcast_ps(reinterpret_cast<const __m128*>(four))) {}

  void operator()(uint32_t word, Vector* weights) const {
    const __m256i low = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const __m256i high = _mm256_setr_epi32(16, 18, 20, 22, 24, 26, 28, 30);
    const __m256i codes = _mm256_set1_epi32(static_cast<int>(word));
    // vpermilps reads the lowest two bits of a lane and no others.
    weights[0] = _mm256_permutevar_ps(levels, _mm256_srlv_epi32(codes, low));
    weights[1] = _mm256_permutevar_ps(levels, _mm256_srlv_epi32(codes, high));
  }
};

#else

#define KERNEL kernel_portable
typedef float Vector __attribute__((vector_size(16)));
constexpr int ROWS = 3;
constexpr int SUMS = 12;

struct Lookup {
  Vector quads[256];  // The weights of four filters, by their codes.

  explicit Lookup(const float* four) {
    for (int byte = 0; byte < 256; ++byte)
      for (int lane = 0; lane < 4; ++lane) quads[byte][lane] = four[byte >> 2 * lane & 3];
  }

  void operator()(uint32_t word, Vector* weights) const {
    for (int quad = 0; quad < 4; ++quad) weights[quad] = quads[word >> 8 * quad & 255];
  }
};

#endif

constexpr int LANES = sizeof(Vector) / sizeof(float);
constexpr int VECTORS = FILTERS_PER_BLOCK / LANES;
constexpr int MOST_BLOCKS = 8;
static_assert(ROWS <= MOST_ROWS && ROWS * VECTORS <= SUMS);

#define UNROLLED _Pragma("GCC unroll 32")

Vector read(const float* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}

void write(const Vector& vector, float* to) { std::memcpy(to, &vector, sizeof vector); }

// Keeps NaN, as torch does. For numbers and vectors.
template <typename Number>
Number rectified(const Number& x) {
  return x < Number{} ? Number{} : x;
}

void normalize(const float* from, int64_t pixels, int64_t channels, const float* factor,
               const float* offset, float* to) {
  for (int64_t pixel = 0; pixel < pixels; ++pixel, from += channels, to += channels) {
    int64_t c = 0;
    for (; c + LANES <= channels; c += LANES)
      write(rectified(read(factor + c) * read(from + c) + read(offset + c)), to + c);
    for (; c < channels; ++c) to[c] = rectified(factor[c] * from[c] + offset[c]);
  }
}

// Writes the sums of one row of an incomplete block, the last one. Not inlined into every loop that
// may end with it, which would make compilation ten times as long.
[[gnu::noinline]] void put_incomplete(const float* base, const float* scale, const Vector* sums,
                                      const float* residual, bool relu, float* out,
                                      int64_t filters) {
  for (int64_t filter = 0; filter < filters; ++filter) {
    float value = base[filter] + scale[filter] * sums[filter / LANES][filter % LANES];
    if (residual) value += residual[filter];
    out[filter] = relu ? rectified(value) : value;
  }
}

// Writes the sums of one row and block to the output; `first` is the first filter of the block.
[[gnu::always_inline]] inline void put(const Tile& tile, int row, int64_t first,
                                       const Vector* sums) {
  const int64_t place = row * tile.out_step + first;
  float* out = tile.out + place;
  const float* base = tile.add ? out : tile.bias + first;
  const float* residual = tile.residual ? tile.residual + place : nullptr;
  const float* scale = tile.scale + first;
  const int64_t left = tile.filters - first;
  if (left < FILTERS_PER_BLOCK) {
    Vector spilled[VECTORS];
    UNROLLED for (int v = 0; v < VECTORS; ++v) spilled[v] = sums[v];
    return put_incomplete(base, scale, spilled, residual, tile.relu, out, left);
  }
  UNROLLED for (int v = 0; v < VECTORS; ++v) {
    Vector value = read(base + v * LANES) + read(scale + v * LANES) * sums[v];
    if (residual) value += read(residual + v * LANES);
    write(tile.relu ? rectified(value) : value, out + v * LANES);
  }
}

// The two sources of weights: operator() gives the weights of 16 filters at the n-th word.
struct Packed {
  Lookup lookup;
  const uint32_t* words;

  explicit Packed(const Tile& tile) : lookup(tile.levels), words(tile.words) {}
  void operator()(int64_t n, Vector* weights) const { lookup(words[n], weights); }
};

struct Unpacked {
  const float* unpacked;

  explicit Unpacked(const Tile& tile) : unpacked(tile.unpacked) {}
  void operator()(int64_t n, Vector* weights) const {
    const float* from = unpacked + n * FILTERS_PER_BLOCK;
    for (int v = 0; v < VECTORS; ++v) weights[v] = read(from + v * LANES);
  }
};

// Computes R rows for B blocks from `block` on.
template <int R, int B, typename Source>
void compute(const Tile& tile, const Source& source, int64_t block) {
  const int64_t depth = tile.stretches * tile.stretch;
  int64_t n = block * depth;
  Vector sums[R][B][VECTORS] = {};
  for (int64_t line = 0; line < tile.stretches; ++line) {
    const float* x[R];
    UNROLLED for (int r = 0; r < R; ++r) x[r] = tile.rows[r] + line * tile.step;
    for (int64_t k = 0; k < tile.stretch; ++k) {
      UNROLLED for (int b = 0; b < B; ++b) {
        Vector weights[VECTORS];
        source(n + b * depth + k, weights);
        UNROLLED for (int r = 0; r < R; ++r) {
          UNROLLED for (int v = 0; v < VECTORS; ++v) sums[r][b][v] += x[r][k] * weights[v];
        }
      }
    }
    n += tile.stretch;
  }
  UNROLLED for (int b = 0; b < B; ++b) {
    UNROLLED for (int r = 0; r < R; ++r) {
      Vector done[VECTORS];
      UNROLLED for (int v = 0; v < VECTORS; ++v) done[v] = sums[r][b][v];
      put(tile, r, (block + b) * FILTERS_PER_BLOCK, done);
    }
  }
}

// Computes R rows for the blocks from `block` on, at most B at a time.
template <int R, int B, typename Source>
void compute_blocks(const Tile& tile, const Source& source, int64_t block, int64_t blocks) {
  for (; block + B <= blocks; block += B) compute<R, B>(tile, source, block);
  if constexpr (B > 1) compute_blocks<R, B / 2>(tile, source, block, blocks);
}

// Computes R rows for all blocks. Few rows take several blocks at a time, as there should be many
// sums: each addition to a sum has to wait for the one before.
template <int R, typename Source>
void compute_all(const Tile& tile, const Source& source) {
  constexpr int FIT = SUMS / (R * VECTORS);
  const int64_t blocks = ceil_div(tile.filters, FILTERS_PER_BLOCK);
  compute_blocks<R, FIT < MOST_BLOCKS ? FIT : MOST_BLOCKS>(tile, source, 0, blocks);
}

template <int R>
void compute_rows(const Tile& tile, int rows) {
  if (rows == R) {
    tile.unpacked ? compute_all<R>(tile, Unpacked(tile)) : compute_all<R>(tile, Packed(tile));
  } else if constexpr (R > 1) {
    compute_rows<R - 1>(tile, rows);
  }
}

void unpack(const uint32_t* words, int64_t blocks, int64_t depth, const float* levels,
            float* unpacked) {
  const Lookup lookup(levels);
  for (int64_t n = 0; n < blocks * depth; ++n) {
    Vector weights[VECTORS];
    lookup(words[n], weights);
    std::memcpy(unpacked + n * FILTERS_PER_BLOCK, weights, sizeof weights);
  }
}

#include "winograd_transforms.hpp"

}  // namespace

constexpr int BLOCKS = SUMS / (ROWS * VECTORS);
constexpr int64_t LEAST_TILES = 8;
constexpr int64_t MOST_DEPTH = 4096;  // 256 KiB of weights per block.
const Kernel KERNEL = {ROWS,    BLOCKS, LEAST_TILES * ROWS, BLOCKS * MOST_DEPTH,
                       compute_rows<ROWS>, unpack, normalize, WINOGRADS, std::size(WINOGRADS)};
