// A pool of threads that work through the phases of a job together.
//
// Knows: a phase's tasks are shared out in as many runs of neighbours as there are threads. A thread takes its own tasks one
// by one from the front, so that from phase to phase it works on what lies in its core's own cache. Then it helps the others
// from the back. The thread that finishes a phase's last task opens the next phase. A thread that wakes late, or is not
// scheduled, delays the others only while it holds a task. Inside a job threads spin for a bounded time; between jobs they
// sleep.
// Does not know: what a task does.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace srvq {

class Job {
public:
    virtual ~Job() = default;
    virtual int phases() const = 0;
    virtual int64_t begin(int phase) = 0;  // called once, before the phase's first task; returns how many it has
    virtual void run(int phase, int64_t task) = 0;  // must not throw
};

class Threads {
public:
    // The calling thread is one of them. Throws std::runtime_error where the system starts fewer.
    explicit Threads(int count);
    ~Threads();
    Threads(const Threads &) = delete;
    Threads &operator=(const Threads &) = delete;

    int count() const { return static_cast<int>(workers_.size()) + 1; }
    void run(Job &job);  // one call at a time

private:
    // Pieces that no thread has taken, in one number: the phase's running number << 32 | end << 16 | first. A piece is one
    // task. In a phase of more tasks than 16 bits count, it is as many neighbours as that takes.
    static constexpr int64_t kMostPieces = 0xffff;
    struct alignas(64) Share {
        std::atomic<uint64_t> left{0};
        static bool any(uint64_t left) { return (left & 0xffff) < (left >> 16 & 0xffff); }
    };

    bool work(int me);
    bool take(Share &share, bool own);
    bool idle() const;
    void open(int phase);
    void work_until_stopped(int me);
    void stop();
    void sleep(uint32_t seen, const std::atomic<bool> &still);
    void wake();

    std::vector<Share> shares_;  // one for each thread
    alignas(64) std::atomic<uint32_t> opened_{0};  // phases, counted
    alignas(64) std::atomic<int64_t> unfinished_{0};  // pieces
    alignas(64) std::atomic<uint32_t> wakeups_{0};
    std::atomic<int> sleepers_{0};
    std::atomic<bool> busy_{false}, running_{true};
    Job *job_ = nullptr;
    // Of job_; written before the shares that open the phase.
    int phase_ = 0;
    int64_t tasks_ = 0, piece_ = 1;  // of the phase, and of a piece
    std::vector<std::thread> workers_;
};

}  // namespace srvq
