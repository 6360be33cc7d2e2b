// Cuts layers into tiles and divides them among threads. Callers have checked every size; the only
// possible failure is lack of memory (std::bad_alloc).

#include "runtime.hpp"

#include "pad.hpp"
#include "parts.hpp"
#include "winograd.hpp"

#include <algorithm>
#include <atomic>
#include <iterator>

#if defined(__x86_64__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

// In ascending order of the instructions that they require; the order of build.py. Those after
// LAST_EXACT use its instructions.
enum Number { PORTABLE, AVX2, AVX512, AMX, AMX_ONE_PASS, LAST_EXACT = AMX };
const Kernel* const KERNELS[] = {
    &kernel_portable,
#if defined(__x86_64__)
    &kernel_avx2,
    &kernel_avx512,
    &kernel_amx,
    &kernel_amx_one_pass,
#endif
};

#if defined(__x86_64__)
// Whether the processor has tile registers that Linux lets this process use.
bool has_tiles() {
#if defined(EMULATED_TILES)
  return true;
#else
  constexpr int REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
  return __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
         syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#endif
}
#endif

// Each call reads it only once, so that all of the call is computed by one kernel.
std::atomic<int64_t> current_kernel = ternary_best_kernel();

// Where unpacking is faster, a task has up to this many tiles, and the weights of a block of filters
// are unpacked once for all of them.
constexpr int64_t TILES_PER_TASK = 64;
// Otherwise, weights stay packed, and a task has one tile and this many blocks of filters.
constexpr int64_t BLOCKS_PER_TASK = 8;
// The most floats that images padded together may take; a larger image is padded by itself.
constexpr int64_t MOST_FRAMED = 1 << 18;

// Computes out, (rows, groups * filters). set_rows(tile, group, first, count) sets tile.rows.
template <typename SetRows>
void run(int threads, const Kernel& kernel, const Weights& weights, const Fused& fused,
         const Tile& common, int64_t rows, float* out, const SetRows& set_rows) {
  const int64_t all = weights.groups * weights.filters;
  // Tiles of equal height, because a lone row costs the most.
  const Parts tiles(rows, kernel.rows);
  const int64_t fit = std::min<int64_t>(kernel.most_unpacked / weights.depth, kernel.blocks);
  const bool unpacks = rows >= kernel.least_rows && fit > 0;
  const Parts blocks(ceil_div(weights.filters, FILTERS_PER_BLOCK), unpacks ? fit : BLOCKS_PER_TASK);
  // No thread should be without a task, but in each unpacking has to pay.
  const int64_t share = ceil_div(weights.groups * blocks.parts * tiles.parts, threads);
  const int64_t least = ceil_div(kernel.least_rows, kernel.rows);
  const Parts runs(tiles.parts, unpacks ? std::clamp(share, least, TILES_PER_TASK) : 1);
  const int64_t unit = FILTERS_PER_BLOCK * ceil_div(weights.depth, DEPTH_UNIT) * DEPTH_UNIT;
  in_parallel(threads, weights.groups * runs.parts * blocks.parts, [&](int64_t task) {
    thread_local Scratch scratch;
    // All blocks for a run of tiles come before the next run, while its inputs are in the cache.
    const int64_t part = task % blocks.parts;
    const int64_t index = task / blocks.parts % runs.parts;
    const int64_t group = task / blocks.parts / runs.parts;
    const int64_t first_block = blocks.begin(part);
    const int64_t count = blocks.size(part);
    const int64_t first = first_block * FILTERS_PER_BLOCK;
    const int64_t filter = group * weights.filters + first;
    Tile tile = common;
    tile.words = weights.words + (group * blocks.count + first_block) * weights.depth;
    tile.bias = weights.bias + filter;
    tile.out_step = all;
    tile.filters = std::min(count * FILTERS_PER_BLOCK, weights.filters - first);
    for (int64_t term = 0; term < weights.terms; ++term) {
      tile.levels = weights.levels + 4 * term;
      tile.scale = weights.scales + term * all + filter;
      tile.add = term > 0;
      const bool last = term + 1 == weights.terms;
      tile.relu = last && fused.relu;
      if (unpacks) {
        float* const unpacked = scratch.floats(count * unit);
        kernel.unpack(tile.words, count, weights.depth, tile.levels, unpacked);
        tile.unpacked = unpacked;
      }
      for (int64_t number = runs.begin(index); number < runs.begin(index + 1); ++number) {
        const int64_t row = tiles.begin(number);
        const int64_t height = tiles.size(number);
        set_rows(tile, group, row, height);
        tile.out = out + row * all + filter;
        if (last) tile.residual = fused.residual_at(row * all + filter);
        kernel.compute(tile, static_cast<int>(height));
      }
    }
  });
}

}  // namespace

int64_t ternary_best_kernel() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return PORTABLE;
  if (!__builtin_cpu_supports("avx512f")) return AVX2;
  return __builtin_cpu_supports("avx512bf16") && has_tiles() ? AMX : AVX512;
#else
  return PORTABLE;
#endif
}

bool ternary_use(int64_t kernel) {
  const bool exists = kernel >= 0 && kernel < std::ssize(KERNELS);
  if (!exists || std::min<int64_t>(kernel, LAST_EXACT) > ternary_best_kernel()) return false;
  current_kernel = kernel;
  return true;
}

void ternary_linear(int threads, const Weights* weights, const float* x, int64_t rows, float* out) {
  const int64_t depth = weights->depth;
  Tile tile{};
  tile.stretches = 1;
  tile.stretch = depth;
  const auto set_rows = [=](Tile& tile, int64_t, int64_t first, int64_t count) {
    for (int64_t row = 0; row < count; ++row) tile.rows[row] = x + (first + row) * depth;
  };
  run(threads, *KERNELS[current_kernel], *weights, Fused{}, tile, rows, out, set_rows);
}

void ternary_conv2d(int threads, const Weights* weights, const Images* in, const Fused* fused,
                    const float* x, int64_t height, int64_t width, float* out) {
  const Kernel& kernel = *KERNELS[current_kernel];
  const Winograd* winograd = winograd_for(kernel, *weights, *in, height, width);
  const int64_t side = winograd ? winograd->outputs : 1;
  const int64_t depth = in->channels / weights->groups;
  // Windows of several outputs may hang over the edge.
  const auto padded_side = [&](int64_t inputs, int64_t outputs, int axis) {
    return std::max(inputs + 2 * in->padding[axis],
                    ceil_div(outputs, side) * side + in->kernel[axis] - 1);
  };
  const int64_t lines = padded_side(in->height, height, 0);
  const int64_t line = padded_side(in->width, width, 1) * depth;
  const int64_t image = lines * line;
  Tile tile{};
  tile.stretches = in->kernel[0];
  tile.stretch = in->kernel[1] * depth;
  tile.step = line;
  // A few images at a time, so that the cache holds them padded.
  const Parts parts(in->images, std::max<int64_t>(MOST_FRAMED / (image * weights->groups), 1));
  const int64_t most = in->images ? ceil_div(in->images, parts.parts) : 0;
  const Floats padded = make_floats(most * weights->groups * image);
  for (int64_t part = 0; part < parts.parts; ++part) {
    Images some = *in;
    some.images = parts.size(part);
    pad(threads, kernel, some, *fused, weights->groups, lines, line / depth,
        x + parts.begin(part) * in->strides[0], padded.get());
    const int64_t pixels = height * width;
    const int64_t place = parts.begin(part) * pixels * weights->groups * weights->filters;
    float* const to = out + place;
    Fused own = *fused;
    own.residual = fused->residual_at(place);
    if (winograd) {
      convolve(threads, kernel, *winograd, *weights, own,
               {padded.get(), some.images, image, line, depth}, height, width, to);
      continue;
    }
    const auto set_rows = [&](Tile& tile, int64_t group, int64_t first, int64_t count) {
      int64_t column = first % width;
      int64_t y = first / width % height;
      int64_t number = group * some.images + first / width / height;
      for (int64_t row = 0; row < count; ++row) {
        tile.rows[row] = padded.get() + number * image + y * in->stride[0] * line +
                         column * in->stride[1] * depth;
        if (++column == width) {
          column = 0;
          if (++y == height) {
            y = 0;
            ++number;
          }
        }
      }
    };
    run(threads, kernel, *weights, own, tile, some.images * pixels, to, set_rows);
  }
}
