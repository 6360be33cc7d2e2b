// The transformations of minimal filtering, on the vectors of the kernel that includes this file
// and defines LANES, UNROLLED, Vector, Lookup, read, write and rectified.

// out[i * out_step] = the sum over j of MATRIX[i][j] * in[j * in_step], of numbers or vectors.
template <const auto& MATRIX, typename Number>
void apply(const Number* in, int in_step, Number* out, int out_step) {
  constexpr int ROWS_OF_IT = sizeof MATRIX / sizeof *MATRIX;
  constexpr int COLUMNS = sizeof *MATRIX / sizeof **MATRIX;
  UNROLLED for (int i = 0; i < ROWS_OF_IT; ++i) {
    Number sum = {};
    bool first = true;
    UNROLLED for (int j = 0; j < COLUMNS; ++j) {
      const float factor = MATRIX[i][j];
      if (factor == 0) continue;
      sum = first ? factor * in[j * in_step] : sum + factor * in[j * in_step];
      first = false;
    }
    out[i * out_step] = sum;
  }
}

// Applies MATRIX to the columns, then to the rows of a square.
template <const auto& MATRIX, typename Number>
void apply_both(const Number* in, Number* out) {
  constexpr int TO = sizeof MATRIX / sizeof *MATRIX;
  constexpr int FROM = sizeof *MATRIX / sizeof **MATRIX;
  Number half[TO * FROM];
  UNROLLED for (int j = 0; j < FROM; ++j) apply<MATRIX>(in + j, FROM, half + j, FROM);
  UNROLLED for (int i = 0; i < TO; ++i) apply<MATRIX>(half + i * FROM, 1, out + i * TO, 1);
}

template <int M, int R>
struct Transformations {
  static constexpr Minimal<M, R> minimal{};
  static constexpr int N = M + R - 1;

  static void inputs(const float* window, int64_t line, int64_t channels, float* to, int64_t step) {
    for (int64_t channel = 0; channel < channels; channel += LANES) {
      Vector in[N * N], out[N * N];
      UNROLLED for (int n = 0; n < N * N; ++n) {
        in[n] = read(window + n / N * line + n % N * channels + channel);
      }
      apply_both<minimal.in>(in, out);
      UNROLLED for (int n = 0; n < N * N; ++n) write(out[n], to + n * step + channel);
    }
  }

  static void weights(const uint32_t* words, int64_t blocks, int64_t channels, const float* levels,
                      float* to, int64_t step) {
    const Lookup lookup(levels);
    for (int64_t block = 0; block < blocks; ++block, words += R * R * channels) {
      for (int64_t channel = 0; channel < channels; ++channel, to += FILTERS_PER_BLOCK) {
        Vector unpacked[R * R][VECTORS];
        for (int n = 0; n < R * R; ++n) lookup(words[n * channels + channel], unpacked[n]);
        for (int v = 0; v < VECTORS; ++v) {
          Vector in[R * R], out[N * N];
          for (int n = 0; n < R * R; ++n) in[n] = unpacked[n][v];
          apply_both<minimal.weights>(in, out);
          for (int n = 0; n < N * N; ++n) write(out[n], to + n * step + v * LANES);
        }
      }
    }
  }

  static void outputs_of(const float* sums, int64_t step, const Outputs& to, int64_t out_line,
                         int64_t rows, int64_t columns) {
    for (int64_t first = 0; first < to.filters; first += LANES) {
      const int64_t count = std::min<int64_t>(to.filters - first, LANES);
      const auto some = [=](const float* from) {
        if (count == LANES) return read(from + first);
        Vector vector = {};
        std::memcpy(&vector, from + first, sizeof(float) * count);
        return vector;
      };
      Vector in[N * N], done[M * M];
      UNROLLED for (int n = 0; n < N * N; ++n) in[n] = read(sums + n * step + first);
      apply_both<minimal.out>(in, done);
      const Vector bias = some(to.bias);
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t column = 0; column < columns; ++column) {
          const int64_t place = row * out_line + column * to.out_step;
          Vector value = done[row * M + column] + bias;
          if (to.residual) value += some(to.residual + place);
          if (to.relu) value = rectified(value);
          float* const out = to.out + place + first;
          if (count == LANES) {
            write(value, out);
          } else {
            std::memcpy(out, &value, sizeof(float) * count);
          }
        }
      }
    }
  }

  static constexpr Winograd all = {M, R, N, inputs, weights, outputs_of};
};

constexpr Winograd WINOGRADS[] = {Transformations<4, 3>::all, Transformations<4, 5>::all};
