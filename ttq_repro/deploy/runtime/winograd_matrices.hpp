// The matrices of minimal filtering: M outputs of a filter of R taps from M + R - 1 products
// (Winograd 1980; for convolutions Lavin and Gray 2015, arXiv 1509.09308).
//
// outputs = out * ((weights * taps) . (in * inputs)), where . is the elementwise product. This
// multiplies polynomials via their values at M + R - 2 points and at infinity. In two dimensions,
// each matrix is applied to the columns, then to the rows.
#pragma once

namespace {

// The points for N products, at which float32 errors are small: for six, 1 and 2 in place of 3/4 and
// 3/2 make them three times as large.
template <int N>
struct Points;
template <>
struct Points<6> {
  static constexpr float at[] = {0, 0.75f, -0.75f, 1.5f, -1.5f};
};
template <>
struct Points<8> {
  static constexpr float at[] = {0, 0.5f, -0.5f, 1, -1, 2, -2};
};

template <int M, int R>
struct Minimal {
  static constexpr int N = M + R - 1;
  static constexpr const auto& points = Points<N>::at;

  float in[N][N] = {};
  float weights[N][R] = {};
  float out[M][N] = {};

  constexpr Minimal() {
    for (int i = 0; i < N; ++i) {
      const bool infinity = i == N - 1;
      // The polynomial with a zero at every other point.
      in[i][0] = 1;
      float value = 1;  // Of the polynomial at this point.
      for (int j = 0; j < N - 1; ++j) {
        if (j == i) continue;
        for (int k = N - 1; k > 0; --k) in[i][k] = in[i][k - 1] - points[j] * in[i][k];
        in[i][0] *= -points[j];
        if (!infinity) value *= points[i] - points[j];
      }
      float power = 1;
      for (int k = 0; k < N; ++k) {
        if (k < R) weights[i][k] = infinity ? k == R - 1 : power / value;
        if (k < M) out[k][i] = infinity ? k == M - 1 : power;
        if (!infinity) power *= points[i];
      }
    }
  }
};

}  // namespace
