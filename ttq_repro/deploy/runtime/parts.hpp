// Dividing work into parts, and among threads; memory for it.
#pragma once

#include "kernel.hpp"

#include <cstdint>
#include <exception>
#include <memory>
#include <new>

// `count` things in as few parts as possible, none larger than `largest`, all as equal as possible.
struct Parts {
  int64_t count, parts;
  Parts(int64_t count, int64_t largest) : count(count), parts(ceil_div(count, largest)) {}
  int64_t begin(int64_t index) const { return index * count / parts; }
  int64_t size(int64_t index) const { return begin(index + 1) - begin(index); }
  // The part that a thing is in.
  int64_t of(int64_t thing) const { return ((thing + 1) * parts - 1) / count; }
};

// Floats that begin at a cache line, as no vector of a cache line straddles two lines then.
constexpr std::align_val_t LINE{64};
struct DeleteFloats {
  void operator()(float* floats) const { ::operator delete[](floats, LINE); }
};
using Floats = std::unique_ptr<float[], DeleteFloats>;

// `count` floats, of any value.
inline Floats make_floats(int64_t count) {
  return Floats(static_cast<float*>(::operator new[](sizeof(float) * count, LINE)));
}

// Floats that a thread keeps from task to task, as to clear or to allocate them takes long.
class Scratch {
 public:
  // Room for `count` floats, of any value.
  float* floats(int64_t count) {
    if (count > count_) {
      floats_ = make_floats(count);
      count_ = count;
    }
    return floats_.get();
  }

 private:
  Floats floats_;
  int64_t count_ = 0;
};

// Runs tasks 0 to count - 1. An exception of one of them (out of memory, say) is rethrown after the
// parallel region: if it left the region, it would end the process.
template <typename Task>
void in_parallel(int threads, int64_t count, const Task& task) {
  std::exception_ptr failure;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1 && count > 1)
  for (int64_t index = 0; index < count; ++index) {
    try {
      task(index);
    } catch (...) {
#pragma omp critical
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}
