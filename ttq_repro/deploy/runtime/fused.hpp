// What is fused into a convolution, on the vectors of the kernel that includes this file.

// Keeps NaN, as torch does.
template <typename Number>
Number rectified(const Number& x) {
  return x < Number{} ? Number{} : x;
}

void before(const Fused& fused, float* x, int64_t pixels, int64_t channels, int64_t channel) {
  if (fused.factor == nullptr) return;
  const float* factor = fused.factor + channel;
  const float* offset = fused.offset + channel;
  for (int64_t pixel = 0; pixel < pixels; ++pixel, x += channels) {
    int64_t c = 0;
    for (; c + LANES <= channels; c += LANES)
      write(rectified(read(factor + c) * read(x + c) + read(offset + c)), x + c);
    for (; c < channels; ++c) x[c] = rectified(factor[c] * x[c] + offset[c]);
  }
}

void after(const Fused& fused, float* out, int64_t place, int64_t pixels, int64_t all,
           int64_t filters) {
  const auto finish = [&]<typename Number>(Number value, const Number& residual) {
    if (fused.residual) value += residual;
    return fused.relu ? rectified(value) : value;
  };
  if (fused.residual == nullptr && !fused.relu) return;
  for (int64_t pixel = 0; pixel < pixels; ++pixel, place += all) {
    float* to = out + place;
    // Whatever it is, it is added only if there is a residual.
    const float* from = fused.residual ? fused.residual + place : to;
    int64_t f = 0;
    for (; f + LANES <= filters; f += LANES) write(finish(read(to + f), read(from + f)), to + f);
    for (; f < filters; ++f) to[f] = finish(to[f], from[f]);
  }
}
