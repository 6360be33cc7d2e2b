// How work is cut into parts.
#pragma once

#include <cstdint>

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// `count` things in as few parts as possible, none larger than `largest`, all as equal as can be.
struct Parts {
  int64_t count, parts;
  Parts(int64_t count, int64_t largest) : count(count), parts(ceil_div(count, largest)) {}
  int64_t begin(int64_t index) const { return index * count / parts; }
  int64_t size(int64_t index) const { return begin(index + 1) - begin(index); }
};
