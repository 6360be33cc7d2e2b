#pragma once

#include "runtime.hpp"

// Copies images into frames of zeros, (groups, images, height, width, channels of a group), in
// which the lines of every window are contiguous.
// Height and width: of a frame, at least those of an image and the padding around it.
void frame(int threads, const Images& in, int64_t groups, int64_t height, int64_t width,
           const float* x, float* framed);
