// The eight tile registers of AMX: matrices of up to 16 rows of 64 bytes.
//
// With EMULATED_TILES defined they are emulated in memory, so that code using them can be tested on
// a processor without AMX. Register numbers must be literals, as the assembler requires.
#pragma once

#include <cstdint>

// The shapes of the registers (rows, and bytes per row), in the layout that the processor loads.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

#if defined(EMULATED_TILES)

#include <cstring>

namespace {

struct EmulatedTile {
  int rows, bytes;
  uint8_t data[16][64];
};
thread_local EmulatedTile emulated[8];

void tile_configure(const TileShapes* shapes) {
  for (int t = 0; t < 8; ++t) emulated[t] = {shapes->rows[t], shapes->row_bytes[t], {}};
}

void tile_load(int t, const void* from, int64_t step) {
  for (int row = 0; row < emulated[t].rows; ++row)
    std::memcpy(emulated[t].data[row], static_cast<const uint8_t*>(from) + row * step,
                emulated[t].bytes);
}

void tile_store(int t, void* to, int64_t step) {
  for (int row = 0; row < emulated[t].rows; ++row)
    std::memcpy(static_cast<uint8_t*>(to) + row * step, emulated[t].data[row], emulated[t].bytes);
}

float bf16_at(const EmulatedTile& tile, int row, int place) {
  uint32_t bits = 0;
  std::memcpy(reinterpret_cast<uint8_t*>(&bits) + 2, &tile.data[row][2 * place], 2);
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// c[m][n] += sum over pairs k of a[m][2k] * b[k][2n] + a[m][2k+1] * b[k][2n+1]
void tile_multiply(int c, int a, int b) {
  const EmulatedTile &left = emulated[a], &right = emulated[b];
  for (int m = 0; m < emulated[c].rows; ++m)
    for (int n = 0; n < emulated[c].bytes / 4; ++n) {
      float sum;
      std::memcpy(&sum, &emulated[c].data[m][4 * n], 4);
      for (int k = 0; k < left.bytes / 4; ++k)
        for (int half = 0; half < 2; ++half)
          sum += bf16_at(left, m, 2 * k + half) * bf16_at(right, k, 2 * n + half);
      std::memcpy(&emulated[c].data[m][4 * n], &sum, 4);
    }
}

}  // namespace

#define TILE_CONFIGURE(shapes) tile_configure(shapes)
#define TILE_RELEASE()
#define TILE_ZERO(t) std::memset(emulated[t].data, 0, sizeof emulated[t].data)
#define TILE_LOAD(t, from, step) tile_load(t, from, step)
#define TILE_STORE(t, to, step) tile_store(t, to, step)
#define TILE_MULTIPLY(c, a, b) tile_multiply(c, a, b)

#else

#include <immintrin.h>

#define TILE_CONFIGURE(shapes) _tile_loadconfig(shapes)
#define TILE_RELEASE() _tile_release()
#define TILE_ZERO(t) _tile_zero(t)
#define TILE_LOAD(t, from, step) _tile_loadd(t, from, step)
#define TILE_STORE(t, to, step) _tile_stored(t, to, step)
#define TILE_MULTIPLY(c, a, b) _tile_dpbf16ps(c, a, b)

#endif
