// The kernel interface. A kernel computes some rows of an output for some blocks of filters:
//
// out[row][filter] = base + scale[filter] * sum over k of x[row][k] * levels[code[filter][k]]
//
// A word of 32 bits holds the 2-bit codes of the 16 filters of a block at one k, the first filter
// in the lowest bits.
#pragma once

#include <cstdint>

constexpr int FILTERS_PER_BLOCK = 16;
constexpr int MOST_ROWS = 16;
constexpr int DEPTH_UNIT = 32;

// Static, so that the linker does not use a copy compiled for AVX-512 everywhere.
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Where outputs go, and what is done to them on the way. All begins at the first filter.
struct Outputs {
  const float* bias;
  const float* residual;  // Added to the outputs, in whose layout it is, or null.
  bool relu;              // Whether ReLU comes last.
  float* out;             // At the first row.
  int64_t out_step;       // Floats from one row to the next.
  int64_t filters;        // Number of filters; the last block may be incomplete.
};

struct Tile : Outputs {
  // The k-th input of a row is rows[row][k / stretch * step + k % stretch]. The inputs of a linear
  // layer are one stretch; the window of a convolution has one stretch for each of its lines.
  const float* rows[MOST_ROWS];
  int64_t stretches, stretch, step;

  const uint32_t* words;  // All k of the first block, followed by those of the next blocks.
  const float* levels;    // Four.
  const float* unpacked;  // The output of Kernel::unpack for words and levels, or null.
  const float* scale;     // From the first filter on.
  bool add;               // Whether the base is out itself, and not the bias.
};

// A convolution at stride one by Winograd's minimal filtering (winograd_matrices.hpp). Windows of
// products x products inputs become outputs x outputs outputs; each of the products x products
// transformed values has its own linear layer.
struct Winograd {
  int outputs, taps, products;  // Along one side: products = outputs + taps - 1.

  // Transforms a window whose lines are `line` floats apart; channels is a multiple of 16. The n-th
  // transformed input of all channels goes to `to + n * step`.
  void (*inputs)(const float* window, int64_t line, int64_t channels, float* to, int64_t step);

  // Transforms the weights of whole blocks, which it takes as Kernel::unpack does. The n-th
  // transformed weights go to `to + n * step`, in the format of Kernel::unpack.
  void (*weights)(const uint32_t* words, int64_t blocks, int64_t channels, const float* levels,
                  float* to, int64_t step);

  // Transforms the sums of a window, the n-th of which are at `sums + n * step`, into outputs.
  // Writes only `rows` rows, `out_line` floats apart, and `columns` columns, as the last windows hang
  // over the edge.
  void (*outputs_of)(const float* sums, int64_t step, const Outputs& outputs, int64_t out_line,
                     int64_t rows, int64_t columns);
};

// The kernel for one instruction set.
struct Kernel {
  int rows;    // The most rows computed at a time, from 1 to MOST_ROWS.
  int blocks;  // The most blocks that a task unpacks and computes.
  int64_t least_rows;     // Unpacking pays for layers with at least this many rows.
  int64_t most_unpacked;  // The most words whose unpacked weights stay in a cache during a task.
  void (*compute)(const Tile& tile, int rows);
  // Writes the weights of whole blocks in the kernel's own format: at most 16 floats for each input
  // of a block, with the number of inputs rounded up to a multiple of DEPTH_UNIT.
  void (*unpack)(const uint32_t* words, int64_t blocks, int64_t depth, const float* levels,
                 float* unpacked);
  // to = relu(factor * from + offset) by channel, of (pixels, channels). `to` may be `from`.
  void (*normalize)(const float* from, int64_t pixels, int64_t channels, const float* factor,
                    const float* offset, float* to);
  // Null if minimal filtering is not faster.
  const Winograd* winograd = nullptr;
  int winograds = 0;
};

extern const Kernel kernel_portable;
#if defined(__x86_64__)
extern const Kernel kernel_avx2;
extern const Kernel kernel_avx512;
extern const Kernel kernel_amx;
extern const Kernel kernel_amx_one_pass;
#endif
