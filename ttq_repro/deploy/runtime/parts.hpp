// Dividing work into parts, and among threads.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// `count` things in as few parts as possible, none larger than `largest`, all as equal as possible.
struct Parts {
  int64_t count, parts;
  Parts(int64_t count, int64_t largest) : count(count), parts(ceil_div(count, largest)) {}
  int64_t begin(int64_t index) const { return index * count / parts; }
  int64_t size(int64_t index) const { return begin(index + 1) - begin(index); }
};

// Floats that a thread keeps from task to task, as to clear or to allocate them takes long.
class Scratch {
 public:
  // Room for `count` floats, of any value.
  float* floats(int64_t count) {
    if (count > count_) {
      floats_ = std::make_unique_for_overwrite<float[]>(count);
      count_ = count;
    }
    return floats_.get();
  }

 private:
  std::unique_ptr<float[]> floats_;
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
