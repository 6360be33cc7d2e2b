// Convolutions by Winograd's minimal filtering: windows are transformed, each of the transformed
// values goes through a linear layer of its own, and the sums are transformed into outputs. Weights
// stay packed, except those of a few filters at a time.

#include "winograd.hpp"

#include "parts.hpp"

#include <algorithm>
#include <vector>

namespace {

// The most windows in a run, so few that their inputs, and sums for some filters, fit into a cache.
constexpr int64_t WINDOWS_PER_RUN = 128;
// The most floats of transformed weights at a time.
constexpr int64_t MOST_WEIGHTS = 1 << 18;
// Floats between matrices whose values are written together: one cache line. Without this gap, all
// of them would compete for the same few lines of the cache.
constexpr int64_t GAP = 16;
// The measured cost of transforming the weights for a run, in windows.
constexpr int64_t WINDOWS_FOR_WEIGHTS = 10;

// How the outputs are cut into windows.
struct Windows {
  int64_t side, down, across;
  Windows(const Winograd& winograd, int64_t height, int64_t width)
      : side(winograd.outputs), down(ceil_div(height, side)), across(ceil_div(width, side)) {}

  int64_t of_an_image() const { return down * across; }
  int64_t image(int64_t window) const { return window / across / down; }
  int64_t row(int64_t window) const { return window / across % down * side; }
  int64_t column(int64_t window) const { return window % across * side; }
};

// Computes the linear layer of a tile for many rows of inputs; writes from tile.out on.
void multiply(const Kernel& kernel, Tile tile, const float* inputs, int64_t rows) {
  const Parts tiles(rows, kernel.rows);
  float* const out = tile.out;
  for (int64_t number = 0; number < tiles.parts; ++number) {
    const int64_t top = tiles.begin(number), height = tiles.size(number);
    for (int64_t row = 0; row < height; ++row)
      tile.rows[row] = inputs + (top + row) * tile.stretch;
    tile.out = out + top * tile.out_step;
    kernel.compute(tile, static_cast<int>(height));
  }
}

}  // namespace

const Winograd* winograd_for(const Kernel& kernel, const Weights& weights, const Images& in,
                             int64_t height, int64_t width) {
  if (in.stride[0] != 1 || in.stride[1] != 1) return nullptr;
  if (in.channels / weights.groups % FILTERS_PER_BLOCK != 0) return nullptr;
  for (int n = 0; n < kernel.winograds; ++n) {
    const Winograd& winograd = kernel.winograd[n];
    if (winograd.taps != in.kernel[0] || winograd.taps != in.kernel[1]) continue;
    const int64_t windows = in.images * Windows(winograd, height, width).of_an_image();
    const int64_t ours = (windows + WINDOWS_FOR_WEIGHTS * ceil_div(windows, WINDOWS_PER_RUN)) *
                         winograd.products * winograd.products;
    if (ours < in.images * height * width * winograd.taps * winograd.taps) return &winograd;
  }
  return nullptr;
}

void convolve(int threads, const Kernel& kernel, const Winograd& winograd, const Weights& weights,
              const Fused& fused, const Framed& in, int64_t height, int64_t width, float* out) {
  const int64_t depth = in.depth;
  const int64_t all = weights.groups * weights.filters;
  const int64_t products = winograd.products * winograd.products;
  const Windows windows(winograd, height, width);
  const int64_t fit = MOST_WEIGHTS / (products * depth * FILTERS_PER_BLOCK);
  const Parts blocks(ceil_div(weights.filters, FILTERS_PER_BLOCK),
                     std::clamp<int64_t>(fit, 1, kernel.blocks));
  const std::vector<float> zeros(kernel.blocks * FILTERS_PER_BLOCK);
  // Each step has at most one run per thread.
  const Parts steps(in.images * windows.of_an_image(), WINDOWS_PER_RUN * threads);
  // No thread should be without a run, but a run should fill a tile.
  const int64_t most = ceil_div(steps.count, steps.parts);
  const int64_t share = ceil_div(weights.groups * blocks.parts * most, threads);
  const int64_t a_run = std::clamp<int64_t>(share, kernel.rows, WINDOWS_PER_RUN);
  const Floats inputs = make_floats(
      weights.groups * products * (most * depth + ceil_div(most, a_run) * GAP));
  for (int64_t step = 0; step < steps.parts; ++step) {
    const Parts runs(steps.size(step), a_run);
    const auto an_input = [&](int64_t run) { return runs.size(run) * depth + GAP; };
    // The inputs of a group and run: (products, windows of the run, depth), GAPs after products.
    const auto inputs_of = [&](int64_t group, int64_t run) {
      const int64_t floats = (group * runs.count + runs.begin(run)) * depth +
                             (group * runs.parts + run) * GAP;
      return inputs.get() + products * floats;
    };
    in_parallel(threads, weights.groups * runs.count, [&](int64_t task) {
      const int64_t group = task / runs.count, place = task % runs.count;
      const int64_t run = runs.of(place), window = steps.begin(step) + place;
      const float* from = in.data + (group * in.images + windows.image(window)) * in.image +
                          windows.row(window) * in.line + windows.column(window) * depth;
      winograd.inputs(from, in.line, depth, inputs_of(group, run) + (place - runs.begin(run)) * depth,
                      an_input(run));
    });
    in_parallel(threads, weights.groups * runs.parts * blocks.parts, [&](int64_t task) {
      thread_local Scratch of_weights, of_sums;
      const int64_t part = task % blocks.parts;
      const int64_t run = task / blocks.parts % runs.parts;
      const int64_t group = task / blocks.parts / runs.parts;
      const int64_t first = blocks.begin(part) * FILTERS_PER_BLOCK;
      const int64_t filter = group * weights.filters + first;
      const int64_t width_of_sums = blocks.size(part) * FILTERS_PER_BLOCK;
      const int64_t a_weight = width_of_sums * depth + GAP;
      const int64_t a_sum = width_of_sums * runs.size(run) + GAP;
      float* const unpacked = of_weights.floats(products * a_weight);
      float* const sums = of_sums.floats(products * a_sum);
      Tile tile{};
      tile.stretches = 1;
      tile.stretch = depth;
      tile.bias = zeros.data();
      tile.out_step = width_of_sums;
      tile.filters = std::min(width_of_sums, weights.filters - first);
      for (int64_t term = 0; term < weights.terms; ++term) {
        tile.scale = weights.scales + term * all + filter;
        tile.add = term > 0;
        winograd.weights(
            weights.words + (group * blocks.count + blocks.begin(part)) * weights.depth,
            blocks.size(part), depth, weights.levels + 4 * term, unpacked, a_weight);
        for (int64_t product = 0; product < products; ++product) {
          tile.unpacked = unpacked + product * a_weight;
          tile.out = sums + product * a_sum;
          multiply(kernel, tile, inputs_of(group, run) + product * an_input(run), runs.size(run));
        }
      }
      for (int64_t n = 0; n < runs.size(run); ++n) {
        const int64_t window = steps.begin(step) + runs.begin(run) + n;
        const int64_t row = windows.row(window), column = windows.column(window);
        const int64_t pixel = (windows.image(window) * height + row) * width + column;
        const int64_t place = pixel * all + filter;
        const Outputs outputs{weights.bias + filter, fused.residual_at(place), fused.relu,
                              out + place,           all,                      tile.filters};
        winograd.outputs_of(sums + n * width_of_sums, a_sum, outputs, width * all,
                            std::min(windows.side, height - row),
                            std::min(windows.side, width - column));
      }
    });
  }
}
