// The operators on a CPU, through the stable interface of libtorch. They check every size, because
// the kernels do not.

#include "runtime.hpp"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/shim_utils.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
// Does not allocate memory, unlike a vector.
using Sizes = torch::headeronly::IntHeaderOnlyArrayRef;

// With more padding, sizes might overflow 64 bits.
constexpr int64_t MOST_PADDING = 1 << 16;
// Memory does not bound the size of an input: an expanded one may have any size.
constexpr int64_t MOST_PIXELS = 1 << 30;
constexpr double MOST_PADDED = 0x1p60;
// Rows are divided into parts by products of two numbers of this size.
constexpr int64_t MOST_ROWS = int64_t{1} << 31;
// By how much a side of the padded images may exceed that of input and padding.
constexpr int64_t OVERHANG = 8;

const float* floats(const Tensor& tensor) { return static_cast<const float*>(tensor.data_ptr()); }

std::string text(Sizes sizes) {
  std::string all;
  for (const int64_t size : sizes) all += (all.empty() ? "" : ", ") + std::to_string(size);
  return "(" + all + ")";
}

void check(const Tensor& tensor, const char* name, ScalarType type, Sizes shape) {
  STD_TORCH_CHECK(tensor.is_cpu() && tensor.scalar_type() == type && tensor.is_contiguous() &&
                      tensor.sizes().equals(shape),
                  "ternary: ", name, " of shape ", text(tensor.sizes()), " should be contiguous ",
                  type == ScalarType::Int ? "int32" : "float32", " of shape ", text(shape));
}

void check_size(const Tensor& x, bool is_small) {
  STD_TORCH_CHECK(is_small, "ternary: an input of shape ", text(x.sizes()), " is too large");
}

Weights checked(const Tensor& words, const Tensor& levels, const Tensor& scales, const Tensor& bias,
                int64_t depth, int64_t groups) {
  STD_TORCH_CHECK(bias.dim() == 1 && levels.dim() == 2, "ternary: bias and levels have ",
                  bias.dim(), " and ", levels.dim(), " dimensions, not 1 and 2");
  const int64_t all = bias.size(0);
  const int64_t terms = levels.size(0);
  STD_TORCH_CHECK(all > 0 && depth > 0 && terms > 0 && groups > 0 && all % groups == 0,
                  "ternary: ", all, " filters of ", depth, " inputs and ", terms, " terms in ",
                  groups, " groups");
  const int64_t filters = all / groups;
  const int64_t blocks = ceil_div(filters, FILTERS_PER_BLOCK);
  check(words, "words", ScalarType::Int, {groups * blocks, depth});
  check(levels, "levels", ScalarType::Float, {terms, 4});
  check(scales, "scales", ScalarType::Float, {terms, all});
  check(bias, "bias", ScalarType::Float, {all});
  return {groups,
          filters,
          depth,
          terms,
          static_cast<const uint32_t*>(words.data_ptr()),
          floats(levels),
          floats(scales),
          floats(bias)};
}

// Uses torch's C shim, as calling an operator by its name takes as long as a small layer.
Tensor empty(Sizes sizes, Sizes strides) {
  AtenTensorHandle handle;
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      sizes.size(), sizes.data(), strides.data(), aoti_torch_dtype_float32(),
      aoti_torch_device_type_cpu(), 0, &handle));
  return Tensor(handle);
}

void check_float(const Tensor& tensor, const char* name) {
  STD_TORCH_CHECK(tensor.is_cpu() && tensor.scalar_type() == ScalarType::Float, "ternary: the ",
                  name, " should be float32 on the CPU");
}

void check_input(const Tensor& x, bool has_dimensions) {
  check_float(x, "input");
  STD_TORCH_CHECK(has_dimensions, "ternary: the input has shape ", text(x.sizes()));
}

Tensor linear(const Tensor& input, const Tensor& words, const Tensor& levels, const Tensor& scales,
              const Tensor& bias) {
  check_input(input, input.dim() > 0);
  const int64_t last = std::max<int64_t>(input.size(-1), 1);
  check_size(input, input.numel() / last <= MOST_ROWS);
  const Tensor x = input.is_contiguous() ? input : torch::stable::contiguous(input);
  std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end());
  const Weights weights = checked(words, levels, scales, bias, shape.back(), 1);
  const int64_t rows = x.numel() / weights.depth;
  shape.back() = weights.filters;
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t axis = shape.size() - 1; axis > 0; --axis)
    strides[axis - 1] = strides[axis] * std::max<int64_t>(shape[axis], 1);
  const Tensor out = empty(shape, strides);
  ternary_linear(torch::stable::get_num_threads(), &weights, floats(x), rows,
                 static_cast<float*>(out.data_ptr()));
  return out;
}

// The residual in the layout of `out`, which is in the memory format channels_last.
Tensor checked_residual(const Tensor& residual, const Tensor& out) {
  check_float(residual, "residual");
  STD_TORCH_CHECK(residual.sizes().equals(out.sizes()), "ternary: the residual has shape ",
                  text(residual.sizes()), ", the output has shape ", text(out.sizes()));
  return residual.strides().equals(out.strides())
             ? residual
             : torch::stable::contiguous(residual, torch::headeronly::MemoryFormat::ChannelsLast);
}

Tensor conv2d(const Tensor& x, const Tensor& words, const Tensor& levels, const Tensor& scales,
              const Tensor& bias, int64_t kernel_height, int64_t kernel_width,
              int64_t stride_height, int64_t stride_width, int64_t padding_height,
              int64_t padding_width, int64_t groups, const std::optional<Tensor>& norm,
              const std::optional<Tensor>& residual, bool relu) {
  check_input(x, x.dim() == 4);
  const int64_t kernel[] = {kernel_height, kernel_width};
  const int64_t stride[] = {stride_height, stride_width};
  const int64_t padding[] = {padding_height, padding_width};
  Images in{x.size(0), x.size(1), x.size(2), x.size(3), {}, {}, {}, {}};
  for (int axis = 0; axis < 4; ++axis) in.strides[axis] = x.stride(axis);
  int64_t places[2];
  double padded = static_cast<double>(std::max<int64_t>(in.images, 1)) * in.channels;
  for (int axis = 0; axis < 2; ++axis) {
    in.kernel[axis] = kernel[axis];
    in.stride[axis] = stride[axis];
    in.padding[axis] = padding[axis];
    const int64_t side =
        std::min(x.size(2 + axis), MOST_PIXELS) + 2 * std::min(padding[axis], MOST_PADDING);
    padded *= side + OVERHANG;
    STD_TORCH_CHECK(kernel[axis] > 0 && stride[axis] > 0 && padding[axis] >= 0 &&
                        padding[axis] <= MOST_PADDING && side >= kernel[axis] &&
                        x.size(2 + axis) <= MOST_PIXELS,
                    "ternary: a window of ", kernel[axis], " at stride ", stride[axis],
                    " does not fit ", x.size(2 + axis), " pixels with padding ", padding[axis]);
    places[axis] = (side - kernel[axis]) / stride[axis] + 1;
  }
  check_size(x, padded <= MOST_PADDED &&
                    static_cast<double>(in.images) * places[0] * places[1] <= MOST_ROWS);
  STD_TORCH_CHECK(groups > 0 && in.channels % groups == 0, "ternary: ", in.channels,
                  " channels cannot form ", groups, " groups");
  const int64_t depth = in.channels / groups * kernel[0] * kernel[1];
  const Weights weights = checked(words, levels, scales, bias, depth, groups);
  const int64_t filters = groups * weights.filters;
  const int64_t line = places[1] * filters;
  // In the memory format channels_last.
  const Tensor out = empty({in.images, filters, places[0], places[1]},
                           {places[0] * line, 1, line, filters});
  Fused fused;
  fused.relu = relu;
  if (norm) {
    check(*norm, "norm", ScalarType::Float, {2, in.channels});
    fused.factor = floats(*norm);
    fused.offset = fused.factor + in.channels;
  }
  std::optional<Tensor> added;
  if (residual) {
    added = checked_residual(*residual, out);
    fused.residual = floats(*added);
  }
  ternary_conv2d(torch::stable::get_num_threads(), &weights, &in, &fused, floats(x), places[0],
                 places[1], static_cast<float*>(out.data_ptr()));
  return out;
}

void use(int64_t kernel) {
  STD_TORCH_CHECK(ternary_use(kernel), "ternary: this processor has no kernel ", kernel);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(ternary, CPU, library) {
  library.impl("linear", TORCH_BOX(&linear));
  library.impl("conv2d", TORCH_BOX(&conv2d));
}

// Without a tensor among the arguments, there is no device to choose an implementation by.
STABLE_TORCH_LIBRARY_IMPL(ternary, CompositeExplicitAutograd, library) {
  library.impl("best_kernel", TORCH_BOX(&ternary_best_kernel));
  library.impl("use", TORCH_BOX(&use));
}
