#include "run/roofline.hpp"

#include <algorithm>
#include <chrono>
#include <functional>

#include "plan/memory.hpp"

namespace srvq {

namespace {

using Work = std::function<float(int64_t first, int64_t count)>;

// Every thread does its share of `count`.
class Measure : public Job {
public:
    Measure(int threads, int64_t count, Work work) : work_(std::move(work)), tasks_(int64_t{8} * threads), count_(count) {}
    int phases() const override { return 1; }
    int64_t begin(int) override { return tasks_; }
    void run(int, int64_t task) override {
        const int64_t share = count_ / tasks_;
        result_ = work_(task * share, share);
    }

private:
    const Work work_;
    const int64_t tasks_, count_;
    std::atomic<float> result_{0.0f};  // so that no compiler leaves the work out
};

}  // namespace

// The time of the best of several runs counts.
Roofline measure_roofline(const Kernels &k, Threads &threads, double seconds) {
    const auto best = [&](int64_t count, Work work) {
        Measure job(threads.count(), count, std::move(work));
        double least = 1e9;
        for (double spent = 0.0; spent < seconds / 3;) {
            const auto start = std::chrono::steady_clock::now();
            threads.run(job);
            const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
            least = std::min(least, took);
            spent += took;
        }
        return least;
    };
    const auto arithmetic = [&](double (*loop)(int64_t), int64_t rounds) {
        rounds *= threads.count();
        const double took = best(rounds, [&](int64_t, int64_t count) { return static_cast<float>(loop(count)); });
        return loop(1) * static_cast<double>(rounds) / took / 1e9;
    };
    Roofline result{};
    result.gflops = arithmetic(k.register_peak, 4000000);
    result.load_gflops = arithmetic(k.load_peak, 60000);
    const int64_t floats = int64_t{64} << 20;  // 256 MiB: no cache holds it
    Memory array(static_cast<size_t>(floats) * sizeof(float));
    std::fill(array.as(), array.as() + floats, 1.0f);
    const double took = best(floats, [&](int64_t first, int64_t count) { return k.read(array.as() + first, count); });
    result.gbytes = static_cast<double>(floats) * 4.0 / took / 1e9;
    return result;
}

}  // namespace srvq
