#pragma once

#include "runtime.hpp"

// Images as `pad` leaves them, with room for windows that hang over the edge. `image`, `line` and
// `depth` are the strides of an image, a line and a pixel, in floats.
struct Framed {
  const float* data;
  int64_t images, image, line, depth;
};

// The minimal filtering that saves products in this convolution, or null.
const Winograd* winograd_for(const Kernel& kernel, const Weights& weights, const Images& in,
                             int64_t height, int64_t width);

// out: (images, height, width, groups * filters).
void convolve(int threads, const Kernel& kernel, const Winograd& winograd, const Weights& weights,
              const Fused& fused, const Framed& in, int64_t height, int64_t width, float* out);
