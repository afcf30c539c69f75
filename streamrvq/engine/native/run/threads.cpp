#include "run/threads.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <system_error>

#include "run/rounding.hpp"

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

Threads::Threads(int count) : shares_(static_cast<size_t>(count)) {
    try {
        for (int i = 1; i < count; ++i) workers_.emplace_back([this, i] { work_until_stopped(i); });
    } catch (const std::system_error &e) {
        const int started = this->count();
        stop();  // first: the sentence needs memory
        throw std::runtime_error("the system runs " + std::to_string(started) + " of " + std::to_string(count) +
                                 " threads and refuses one more (" + e.what() +
                                 "); ask for fewer, or raise its limits of processes and of memory");
    } catch (...) {
        stop();
        throw;
    }
}

Threads::~Threads() { stop(); }

// Those that run use this object, and a std::thread that is not joined ends the process.
void Threads::stop() {
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
        const uint32_t seen = opened_.load(std::memory_order_acquire);
        if (work(0)) {
            spins = 0;
        } else if (++spins < kSpins) {
            pause();
        } else {
            sleep(seen, busy_);
        }
    }
    job_ = nullptr;
}

// Opens `phase`, or the next one that has a task. Called by one thread at a time: the job's starter, or the thread that has
// finished the last task of the phase before. A phase cannot end before its last share is written, so no other thread opens
// the next one meanwhile.
void Threads::open(int phase) {
    const uint32_t number = opened_.load(std::memory_order_relaxed) + 1;
    int64_t tasks = 0;
    while (phase < job_->phases() && (tasks = job_->begin(phase)) == 0) ++phase;
    phase_ = phase;
    if (tasks == 0) {
        opened_.store(number);
        busy_.store(false, std::memory_order_seq_cst);
    } else {
        tasks_ = tasks;
        piece_ = (tasks + kMostPieces - 1) / kMostPieces;
        const int64_t pieces = (tasks + piece_ - 1) / piece_;
        unfinished_.store(pieces, std::memory_order_relaxed);
        opened_.store(number);
        const uint64_t all = static_cast<uint64_t>(pieces), n = shares_.size();
        for (uint64_t i = 0; i < n; ++i)
            shares_[i].left.store(uint64_t{number} << 32 | all * (i + 1) / n << 16 | all * i / n);
    }
    wake();
}

// Takes one piece and runs it; false if there is none left.
bool Threads::work(int me) {
    const size_t n = shares_.size();
    for (size_t i = 0; i < n; ++i)
        if (take(shares_[(static_cast<size_t>(me) + i) % n], i == 0)) return true;
    return false;
}

// Only the share is read before a piece is taken: until then the job may be gone. Phases are numbered, so that a share that
// was read in one phase cannot be taken from in another.
bool Threads::take(Share &share, bool own) {
    for (uint64_t left = share.left.load(std::memory_order_acquire); Share::any(left);) {
        const uint64_t rest = own ? left + 1 : left - (uint64_t{1} << 16);
        if (!share.left.compare_exchange_weak(left, rest, std::memory_order_acq_rel)) continue;
        const int64_t first = piece_ * static_cast<int64_t>(own ? left & 0xffff : rest >> 16 & 0xffff);
        const int64_t end = std::min(first + piece_, tasks_);
        for (int64_t task = first; task < end; ++task) job_->run(phase_, task);
        if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) open(phase_ + 1);
        return true;
    }
    return false;
}

void Threads::work_until_stopped(int me) {
    PlainArithmetic plain;
    for (int spins = 0; running_;) {
        const uint32_t seen = opened_.load(std::memory_order_acquire);
        if (work(me)) {
            spins = 0;
        } else if (busy_.load(std::memory_order_relaxed) && ++spins < kSpins) {
            pause();
        } else {
            sleep(seen, running_);
            spins = 0;
        }
    }
}

bool Threads::idle() const {
    for (const Share &share : shares_)
        if (Share::any(share.left.load())) return false;
    return true;
}

// Sleeps until another phase is opened than the one seen, or `still` no longer holds. The sleeper counts itself before it
// checks again, and `wake` reads the count after everything is written. So either the sleeper sees the change, or `wake`
// sees the sleeper.
void Threads::sleep(uint32_t seen, const std::atomic<bool> &still) {
    const uint32_t before = wakeups_.load();
    sleepers_.fetch_add(1);
    if (opened_.load() == seen && still && idle()) wakeups_.wait(before);
    sleepers_.fetch_sub(1);
}

void Threads::wake() {
    if (!running_ || sleepers_.load() > 0) {
        wakeups_.fetch_add(1);
        wakeups_.notify_all();
    }
}

}  // namespace srvq
