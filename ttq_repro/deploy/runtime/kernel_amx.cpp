// The kernel on the tile registers of AMX, which multiply matrices of bfloat16.
//
// A float32 is the sum of two bfloat16, a high and a low part, to within 2^-16 of its value. Inputs
// and weights are split this way. Of the four products, that of both low parts is left out, and so
// is that of the weights' low parts if the levels are already bfloat16. The one-pass kernel takes
// only the product of the high parts, i.e. it rounds to bfloat16. Few rows do not fill a tile and
// go to the AVX-512 kernel.

#include "kernel.hpp"
#include "amx_tiles.hpp"

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

namespace {

constexpr int ROWS = 16;
constexpr int DEPTH = DEPTH_UNIT;                // Inputs of a row that a tile holds.
constexpr int WEIGHTS = FILTERS_PER_BLOCK * DEPTH;  // Weights that a tile holds.
constexpr int SUMS = 4;                          // Tiles of sums, each for one block of filters.

int64_t chunks_of(int64_t depth) { return ceil_div(depth, DEPTH); }

struct Split {
  uint16_t high, low;
};

// Rounds to the nearest bfloat16, ties to even. Levels are finite.
uint16_t rounded(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

Split split(float value) {
  const uint16_t high = rounded(value);
  const uint32_t bits = static_cast<uint32_t>(high) << 16;
  float nearest;
  std::memcpy(&nearest, &bits, 4);
  return {high, rounded(value - nearest)};
}

// Whether no level has a low part; the zero may be negative.
bool are_bfloat16(const float* levels) {
  return std::all_of(levels, levels + 4,
                     [](float level) { return (split(level).low & 0x7FFF) == 0; });
}

// Writes, for each block and chunk, the tile of the high parts and that of the low parts. A row of
// a tile holds the weights of 16 filters for two inputs, the two weights of a filter side by side.
void unpack(const uint32_t* words, int64_t blocks, int64_t depth, const float* levels,
            float* unpacked) {
  alignas(16) uint32_t first[2][4], second[2][4];  // By part and code; low and high half.
  for (int code = 0; code < 4; ++code) {
    const Split parts = split(levels[code]);
    first[0][code] = parts.high;
    first[1][code] = parts.low;
    for (int part = 0; part < 2; ++part) second[part][code] = first[part][code] << 16;
  }
  const auto table = [](const uint32_t* four) {
    return _mm512_castsi512_ps(
        _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(four))));
  };
  const __m512 firsts[2] = {table(first[0]), table(first[1])};
  const __m512 seconds[2] = {table(second[0]), table(second[1])};
  const __m512i places =
      _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const auto codes = [&](const uint32_t* block, int64_t k) {
    // Beyond the depth any code will do, as the inputs there are zero.
    return _mm512_srlv_epi32(_mm512_set1_epi32(k < depth ? static_cast<int>(block[k]) : 0), places);
  };
  for (int64_t b = 0; b < blocks; ++b) {
    const uint32_t* block = words + b * depth;
    for (int64_t chunk = 0; chunk < chunks_of(depth); ++chunk) {
      for (int pair = 0; pair < DEPTH / 2; ++pair) {
        // vpermilps reads the lowest two bits of a lane and no others.
        const __m512i one = codes(block, chunk * DEPTH + 2 * pair);
        const __m512i other = codes(block, chunk * DEPTH + 2 * pair + 1);
        for (int part = 0; part < 2; ++part) {
          const __m512i both =
              _mm512_or_si512(_mm512_castps_si512(_mm512_permutevar_ps(firsts[part], one)),
                              _mm512_castps_si512(_mm512_permutevar_ps(seconds[part], other)));
          _mm512_storeu_si512(unpacked + part * WEIGHTS / 2 + pair * FILTERS_PER_BLOCK, both);
        }
      }
      unpacked += WEIGHTS;
    }
  }
}

// The high and low parts of up to 16 rows of inputs, padded with zeros after their depth.
class Inputs {
 public:
  Inputs(const Tile& tile, int rows)
      : step_(chunks_of(tile.stretches * tile.stretch) * DEPTH + DEPTH) {
    static thread_local std::vector<uint16_t> kept;
    // A write at the end of a row may run past it by less than a vector. Tiles are loaded line by
    // line, so lines of the cache should begin where theirs do.
    constexpr size_t LINE = 64 / sizeof(uint16_t);
    size_t space = (2 * ROWS * step_ + DEPTH + LINE) * sizeof(uint16_t);
    kept.resize(space / sizeof(uint16_t));
    void* begin = kept.data();
    parts_ = static_cast<uint16_t*>(std::align(64, 64, begin, space));
    for (int row = 0; row < rows; ++row) {
      uint16_t* to = parts_ + row * step_;
      for (int64_t line = 0; line < tile.stretches; ++line) {
        const float* from = tile.rows[row] + line * tile.step;
        for (int64_t k = 0; k < tile.stretch; k += 16)
          write(from + k, tile.stretch - k, to + k);
        to += tile.stretch;
      }
      for (int part = 0; part < 2; ++part)
        std::memset(to + part * ROWS * step_, 0, sizeof(uint16_t) * DEPTH);
    }
  }

  const uint16_t* high(int64_t chunk) const { return parts_ + chunk * DEPTH; }
  const uint16_t* low(int64_t chunk) const { return high(chunk) + ROWS * step_; }
  int64_t step() const { return step_ * sizeof(uint16_t); }

 private:
  // The numbers whose upper halves these are.
  static __m512 above(__m512i halves) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(halves, 16));
  }

  void write(const float* from, int64_t left, uint16_t* to) const {
    const __mmask16 there = left < 16 ? (1 << left) - 1 : 0xFFFF;
    const __m512 x = _mm512_maskz_loadu_ps(there, from);
    __m512i high = _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
    // Finite numbers that would round to infinity are cut off instead.
    const __m512 infinity = _mm512_set1_ps(INFINITY);
    const __mmask16 overflows =
        _mm512_cmp_ps_mask(_mm512_abs_ps(above(high)), infinity, _CMP_EQ_OQ) &
        _mm512_cmp_ps_mask(_mm512_abs_ps(x), infinity, _CMP_LT_OQ);
    high = _mm512_mask_srli_epi32(high, overflows, _mm512_castps_si512(x), 16);
    const __m512 rest = _mm512_sub_ps(x, above(high));
    // The rest of infinity must be zero, not NaN.
    const __mmask16 number = _mm512_cmp_ps_mask(rest, rest, _CMP_ORD_Q);
    const __m256i low =
        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_maskz_mov_ps(number, rest)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(high));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + ROWS * step_), low);
  }

  int64_t step_;
  uint16_t* parts_;
};

// Writes the sums of a block to the output; `first` is the first filter of the block.
void put(const Tile& tile, int rows, int64_t first, const float* sums) {
  const int64_t left = tile.filters - first;
  const __mmask16 there = left < FILTERS_PER_BLOCK ? (1 << left) - 1 : 0xFFFF;
  const __m512 scale = _mm512_maskz_loadu_ps(there, tile.scale + first);
  for (int row = 0; row < rows; ++row) {
    const int64_t place = row * tile.out_step + first;
    float* out = tile.out + place;
    const __m512 base = _mm512_maskz_loadu_ps(there, tile.add ? out : tile.bias + first);
    const __m512 sum = _mm512_loadu_ps(sums + row * FILTERS_PER_BLOCK);
    __m512 value = _mm512_fmadd_ps(scale, sum, base);
    if (tile.residual)
      value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(there, tile.residual + place));
    // In this order, the result is NaN if the value is.
    if (tile.relu) value = _mm512_max_ps(_mm512_setzero_ps(), value);
    _mm512_mask_storeu_ps(out, there, value);
  }
}

void compute_packed(Tile tile, int rows) {
  for (; rows > 0; rows -= kernel_avx512.rows) {
    const int some = std::min(rows, kernel_avx512.rows);
    kernel_avx512.compute(tile, some);
    std::copy(tile.rows + some, tile.rows + ROWS, tile.rows);
    tile.out += some * tile.out_step;
    if (tile.residual) tile.residual += some * tile.out_step;
  }
}

// Registers 0 to 3 hold sums, 4 and 5 the parts of the inputs, 6 and 7 those of the weights.
template <bool ONE_PASS>
void compute(const Tile& tile, int rows) {
  if (tile.unpacked == nullptr) return compute_packed(tile, rows);
  const int64_t chunks = chunks_of(tile.stretches * tile.stretch);
  const int64_t blocks = ceil_div(tile.filters, FILTERS_PER_BLOCK);
  const bool both = !ONE_PASS && !are_bfloat16(tile.levels);
  const Inputs inputs(tile, rows);
  TileShapes shapes;
  for (int t = 0; t < 8; ++t) {
    shapes.rows[t] = static_cast<uint8_t>(t < 6 ? rows : DEPTH / 2);
    shapes.row_bytes[t] = 64;
  }
  TILE_CONFIGURE(&shapes);
  for (int64_t block = 0; block < blocks; block += SUMS) {
    const int64_t count = std::min<int64_t>(SUMS, blocks - block);
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      TILE_LOAD(4, inputs.high(chunk), inputs.step());
      if (!ONE_PASS) TILE_LOAD(5, inputs.low(chunk), inputs.step());
      const float* weights = tile.unpacked + (block * chunks + chunk) * WEIGHTS;
#define MULTIPLY(b)                                    \
  if (b < count) {                                     \
    const float* own = weights + b * chunks * WEIGHTS; \
    TILE_LOAD(6, own, 64);                             \
    TILE_MULTIPLY(b, 4, 6);                            \
    if (!ONE_PASS) TILE_MULTIPLY(b, 5, 6);             \
    if (both) {                                        \
      TILE_LOAD(7, own + WEIGHTS / 2, 64);             \
      TILE_MULTIPLY(b, 4, 7);                          \
    }                                                  \
  }
      MULTIPLY(0)
      MULTIPLY(1)
      MULTIPLY(2)
      MULTIPLY(3)
    }
#define PUT(b)                                              \
  if (b < count) {                                          \
    float sums[ROWS * FILTERS_PER_BLOCK];                     \
    TILE_STORE(b, sums, 64);                                \
    put(tile, rows, (block + b) * FILTERS_PER_BLOCK, sums);   \
  }
    PUT(0)
    PUT(1)
    PUT(2)
    PUT(3)
  }
  TILE_RELEASE();
}

// Those of AVX-512 themselves would have to be read from its kernel while the library is loaded, by
// code compiled for AMX.
void normalize(const float* from, int64_t pixels, int64_t channels, const float* factor,
               const float* offset, float* to) {
  kernel_avx512.normalize(from, pixels, channels, factor, offset, to);
}

}  // namespace

// Rows are split once for all blocks of a task, whose weights should stay in a cache of 2 MiB.
const Kernel kernel_amx = {ROWS, 8, 4, 20'000, compute<false>, unpack, normalize};
const Kernel kernel_amx_one_pass = {ROWS, 8, 4, 20'000, compute<true>, unpack, normalize};
