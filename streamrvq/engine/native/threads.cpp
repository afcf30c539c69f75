#include "threads.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace srvq {

namespace {

constexpr int kSpins = 4000;  // some tens of microseconds: longer than any phase's imbalance, shorter than a time slice

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

PlainArithmetic::PlainArithmetic() {
#if defined(__x86_64__)
    before_ = _mm_getcsr();
    _mm_setcsr(0x1f80);
#elif defined(__aarch64__)
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" ::"r"(uint64_t{0}));
#else
    before_ = 0;
#endif
}

PlainArithmetic::~PlainArithmetic() {
#if defined(__x86_64__)
    _mm_setcsr(static_cast<unsigned>(before_));
#elif defined(__aarch64__)
    asm volatile("msr fpcr, %0" ::"r"(before_));
#endif
}

Threads::Threads(int count) {
    for (int i = 1; i < count; ++i) workers_.emplace_back([this] { serve(); });
}

Threads::~Threads() {
    running_ = false;
    wake();
    for (std::thread &worker : workers_) worker.join();
}

void Threads::run(Job &job) {
    PlainArithmetic plain;
    job_ = &job;
    busy_ = true;
    open(0);
    for (int spins = 0; busy_.load(std::memory_order_acquire);) {
        const uint64_t ticket = ticket_.load(std::memory_order_acquire);
        if (work(ticket)) {
            spins = 0;
        } else if (++spins < kSpins) {
            pause();
        } else {
            sleep(ticket, busy_);
        }
    }
    job_ = nullptr;
}

// Opens `phase` or the next that has a task. Called by one thread at a time: the job's starter, or whoever has finished
// the last task of the phase before.
void Threads::open(int phase) {
    const uint64_t number = ((ticket_.load(std::memory_order_relaxed) >> 32) + 1) & 0xffffffff;
    int tasks = 0;
    while (phase < job_->phases() && (tasks = job_->tasks(phase)) == 0) ++phase;
    phase_ = phase;
    if (tasks == 0) {
        ticket_.store(number << 32);
        busy_.store(false, std::memory_order_seq_cst);
    } else {
        unfinished_.store(tasks, std::memory_order_relaxed);
        ticket_.store(number << 32 | static_cast<uint64_t>(tasks) << 16);
    }
    wake();
}

// Takes one task of the ticket's phase and runs it; false if there is none left. Nothing but the ticket is read before a
// task is in hand: only then is it sure that the job is still there.
bool Threads::work(uint64_t ticket) {
    while ((ticket & 0xffff) < (ticket >> 16 & 0xffff)) {
        if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
        job_->run(phase_, static_cast<int>(ticket & 0xffff));
        if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) open(phase_ + 1);
        return true;
    }
    return false;
}

void Threads::serve() {
    PlainArithmetic plain;
    for (int spins = 0; running_;) {
        const uint64_t ticket = ticket_.load(std::memory_order_acquire);
        if (work(ticket)) {
            spins = 0;
        } else if (busy_.load(std::memory_order_relaxed) && ++spins < kSpins) {
            pause();
        } else {
            sleep(ticket, running_);
            spins = 0;
        }
    }
}

// Until the ticket's phase is another than the one seen, or `still` no longer holds. The sleeper counts itself before it
// looks again, and `wake` looks at the count after both are written, so that one of them sees the other.
void Threads::sleep(uint64_t seen, const std::atomic<bool> &still) {
    const uint32_t bell = bell_.load();
    sleepers_.fetch_add(1);
    if (ticket_.load() >> 32 == seen >> 32 && still) bell_.wait(bell);
    sleepers_.fetch_sub(1);
}

void Threads::wake() {
    if (!running_ || sleepers_.load() > 0) {
        bell_.fetch_add(1);
        bell_.notify_all();
    }
}

}  // namespace srvq
