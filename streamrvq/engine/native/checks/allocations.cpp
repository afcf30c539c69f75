#include "allocations.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include "steps.hpp"

namespace {

// Allocations that still succeed; then one fails, or all do. Below 0: none fails.
std::atomic<int64_t> left{-1};
std::atomic<bool> all{false}, failed{false};

bool fails() {
    if (left < 0) return false;
    if (left > 0) {
        --left;
        return false;
    }
    failed = true;
    if (!all) left = -1;
    return true;
}

}  // namespace

void *operator new(size_t bytes) {
    void *const memory = fails() ? nullptr : std::malloc(std::max<size_t>(1, bytes));
    if (!memory) throw std::bad_alloc();
    return memory;
}
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, size_t) noexcept { std::free(memory); }

namespace checks {

namespace {

constexpr int64_t kChannels = 20, kMost = 16;

// A plan, a small step, then a larger one, for which everything grows: some of it with little memory, then with enough.
class Scene {
public:
    Scene() : weight_(kChannels * kChannels, 0.25f), bias_(kChannels, 1.0f), in_(kMost * kChannels, 2.0f), out_(in_.size()) {
        spec_.kind = srvq::LayerKind::conv;
        spec_.cin = spec_.cout = kChannels;
        spec_.kernel = spec_.stride = spec_.dilation = spec_.rate_in = spec_.rate_out = spec_.groups = 1;
        spec_.weight = weight_.data();
        spec_.bias = bias_.data();
        for (int64_t b = 0; b < kMost; ++b) slots_[b] = b, length_[b] = -1;
    }

    // Whether all calls succeed. `right`: those that do gave what they should.
    bool runs(SrvqEngine *engine, bool &right) {
        const srvq::PlanSpec plan{&spec_, 1, 0, 1, 0, -1, nullptr};
        bool good = srvq_set_plan(engine, 0, &plan) == 0;
        for (const int64_t streams : {int64_t{1}, kMost}) {
            std::fill(out_.begin(), out_.end(), 0.0f);
            std::fill_n(counts_, kMost, 0);
            const bool stepped = srvq_step(engine, 0, streams, 1, &state_, counts_, slots_, clock_, length_, in_.data(),
                                           out_.data(), 0, nullptr, nullptr) == 0;
            for (int64_t b = 0; b < kMost; ++b) right = right && counts_[b] == (stepped && b < streams);
            for (int64_t i = 0; stepped && i < streams * kChannels; ++i) right = right && out_[static_cast<size_t>(i)] == 11.0f;
            good = good && stepped;
        }
        return good;
    }

private:
    Floats weight_, bias_, in_, out_;
    LayerSpec spec_{};
    float state_ = 0.0f;  // there is none
    int64_t slots_[kMost], clock_[kMost]{}, length_[kMost], counts_[kMost];
};

}  // namespace

int wrong_without_memory() {
    int wrong = 0;
    Scene scene;
    for (const bool every : {false, true})
        for (int64_t number = 0;; ++number) {
            bool right = true;
            failed = false;
            all = every;
            left = number;
            const Engine engine = engine_of("", 3);
            const bool good = engine && scene.runs(engine.get(), right);
            left = -1;
            if (good == failed || !right || (engine && !scene.runs(engine.get(), right)) || !right) ++wrong;
            if (!failed) break;
        }
    return wrong;
}

}  // namespace checks
