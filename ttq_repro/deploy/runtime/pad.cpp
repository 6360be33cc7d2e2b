#include "pad.hpp"

#include "parts.hpp"

#include <cstring>

void pad(int threads, const Kernel& kernel, const Images& in, const Fused& fused, int64_t groups,
         int64_t height, int64_t width, const float* x, float* padded) {
  const int64_t depth = in.channels / groups;
  const int64_t border = in.padding[1] * depth;
  const int64_t inner = in.width * depth;
  const int64_t whole = width * depth;
  in_parallel(threads, groups * in.images * height, [&](int64_t line) {
    float* to = padded + line * whole;
    const int64_t y = line % height - in.padding[0];
    const int64_t image = line / height % in.images;
    const int64_t channel = line / height / in.images * depth;
    if (y < 0 || y >= in.height) {
      std::memset(to, 0, sizeof(float) * whole);
      return;
    }
    const float* from = x + image * in.strides[0] + channel * in.strides[1] + y * in.strides[2];
    std::memset(to, 0, sizeof(float) * border);
    std::memset(to + border + inner, 0, sizeof(float) * (whole - border - inner));
    to += border;
    const bool in_order = in.strides[1] == 1 && in.strides[3] == depth;
    if (in_order) {
      if (fused.factor == nullptr) std::memcpy(to, from, sizeof(float) * inner);
    } else if (in.strides[1] == 1) {  // One of several groups.
      for (int64_t column = 0; column < in.width; ++column)
        std::memcpy(to + column * depth, from + column * in.strides[3], sizeof(float) * depth);
    } else {
      for (int64_t c = 0; c < depth; ++c)
        for (int64_t column = 0; column < in.width; ++column)
          to[column * depth + c] = from[c * in.strides[1] + column * in.strides[3]];
    }
    if (fused.factor)
      kernel.normalize(in_order ? from : to, in.width, depth, fused.factor + channel,
                       fused.offset + channel, to);
  });
}
