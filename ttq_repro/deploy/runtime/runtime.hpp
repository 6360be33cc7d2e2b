// What the operators call.
#pragma once

#include "kernel.hpp"

// The weights of a layer (see codes.py). `filters` is their number in one group.
struct Weights {
  int64_t groups, filters, depth, terms;
  const uint32_t* words;
  const float* levels;
  const float* scales;
  const float* bias;
};

// The images and the window of a convolution. The strides are those of the input, (images,
// channels, height, width) in any order in memory.
struct Images {
  int64_t images, channels, height, width;
  int64_t strides[4];
  int64_t kernel[2], stride[2], padding[2];
};

// What a convolution does besides. By default, nothing.
struct Fused {
  // By channel. Unless they are null, relu(factor * x + offset) takes the place of the input x.
  const float* factor = nullptr;
  const float* offset = nullptr;
  // Added to the output, in whose layout it is, or null.
  const float* residual = nullptr;
  // Whether ReLU comes last.
  bool relu = false;

  const float* residual_at(int64_t place) const { return residual ? residual + place : nullptr; }
};

// The last exact kernel whose instructions this processor has. Kernels are numbered in the order of
// build.py.
int64_t ternary_best_kernel();

// Sets the kernel of later calls, in all threads; initially it is that of ternary_best_kernel(). Returns
// false, and changes nothing, if this processor lacks its instructions or there is no such kernel.
bool ternary_use(int64_t kernel);

// x: (rows, depth). out: (rows, filters).
void ternary_linear(int threads, const Weights* weights, const float* x, int64_t rows, float* out);

// out: (images, height, width, groups * filters); `height` and `width` are those of the output.
void ternary_conv2d(int threads, const Weights* weights, const Images* in, const Fused* fused,
                    const float* x, int64_t height, int64_t width, float* out);
