#pragma once

#include "runtime.hpp"

// Copies images, with zeros around them, to (groups, images, height, width, channels of a group),
// so that the lines of every window are contiguous. `height` and `width` include the zeros: they
// are at least those of an image and the padding around it. Padding comes after normalization.
void pad(int threads, const Kernel& kernel, const Images& in, const Fused& fused, int64_t groups,
         int64_t height, int64_t width, const float* x, float* padded);
