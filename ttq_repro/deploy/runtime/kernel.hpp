// What a kernel computes: some rows of an output, for some blocks of filters.
//
// out[row][filter] = base + scale[filter] * sum over k of x[row][k] * levels[code[filter][k]]
//
// A word of 32 bits holds the 2-bit codes of the 16 filters of a block at one k, the first filter
// in the lowest bits.
#pragma once

#include <cstdint>

constexpr int FILTERS_A_BLOCK = 16;
constexpr int MOST_ROWS = 16;
constexpr int DEPTH_UNIT = 32;

struct Tile {
  // The k-th input of a row is rows[row][k / stretch * step + k % stretch]: that of a linear layer
  // is one stretch, the window of a convolution one for each of its lines.
  const float* rows[MOST_ROWS];
  int64_t stretches, stretch, step;

  const uint32_t* words;  // Of the first block; those of the next one follow after all its k.
  const float* levels;    // Four.
  const float* unpacked;  // What Kernel::unpack made of words and levels, or null.
  const float* scale;     // Of the first filter on.
  const float* bias;      // Of the first filter on, the base unless `add` is set.
  bool add;               // Whether out itself is the base.
  float* out;             // At the first row and filter.
  int64_t out_step;       // Floats from one row to the next.
  int64_t filters;        // How many there are; the last block may be cut short.
};

// A convolution at stride one by Winograd's minimal filtering (winograd_matrices.hpp). Windows of
// products x products inputs become outputs x outputs outputs; each of their transformed values has
// its linear layer.
struct Winograd {
  int outputs, taps, products;  // Along a side: products = outputs + taps - 1.

  // A window whose lines are `line` floats apart; channels: a multiple of 16. The n-th transformed
  // input of all channels goes to to + n * step.
  void (*inputs)(const float* window, int64_t line, int64_t channels, float* to, int64_t step);

  // Whole blocks, as Kernel::unpack takes them. Their n-th transformed weights go to to + n * step,
  // in its form.
  void (*weights)(const uint32_t* words, int64_t blocks, int64_t channels, const float* levels,
                  float* to, int64_t step);

  // The outputs of a window and a bias, from its n-th sums at sums + n * step. Only `rows` rows and
  // `columns` columns are written, as the last windows hang over the edge.
  void (*outputs_of)(const float* sums, int64_t step, const float* bias, int64_t filters,
                     float* out, int64_t out_line, int64_t out_step, int64_t rows,
                     int64_t columns);
};

// The kernel for one set of instructions.
struct Kernel {
  int rows;    // The most that it computes at a time, at least 1 and at most MOST_ROWS.
  int blocks;  // The most that a task computes of so many rows.
  int64_t least_rows;     // From how many rows of a layer on weights are worth unpacking.
  int64_t most_unpacked;  // The most words of them that a cache holds for so long.
  void (*compute)(const Tile& tile, int rows);
  // Writes the weights of whole blocks in its own format, in at most 16 floats for each input of
  // a block, their number rounded up to a multiple of DEPTH_UNIT.
  void (*unpack)(const uint32_t* words, int64_t blocks, int64_t depth, const float* levels,
                 float* unpacked);
  // Null where fewer products are no gain.
  const Winograd* winograd;
  int winograds;
};

extern const Kernel kernel_portable;
#if defined(__x86_64__)
extern const Kernel kernel_avx2;
extern const Kernel kernel_avx512;
extern const Kernel kernel_amx;
extern const Kernel kernel_amx_one_pass;
#endif
