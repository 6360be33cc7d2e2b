// What a kernel computes: some rows of an output, for some blocks of filters.
//
// out[row][filter] = base + scale[filter] * sum over k of x[row][k] * levels[code[filter][k]]
//
// A word of 32 bits holds the 2-bit codes of the 16 filters of a block at one k, the first filter
// in the lowest bits.
#pragma once

#include <cstdint>

constexpr int FILTERS_A_BLOCK = 16;
constexpr int MOST_ROWS = 8;

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

// The kernel for one set of instructions.
struct Kernel {
  int rows;    // The most that it computes at a time, at least 1 and at most MOST_ROWS.
  int blocks;  // Those that it computes at a time of so many rows.
  void (*compute)(const Tile& tile, int rows);
  // Writes the weights of `count` words, 16 floats each.
  void (*unpack)(const uint32_t* words, int64_t count, const float* levels, float* unpacked);
};

extern const Kernel kernel_portable;
#if defined(__x86_64__)
extern const Kernel kernel_avx2;
extern const Kernel kernel_avx512;
#endif
