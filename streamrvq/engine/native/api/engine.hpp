// An engine behind the C interface: its plans, its threads, and the lock that lets one step run at a time; and how it
// comes through a fork.
#pragma once
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>
#if defined(_WIN32)
#include <process.h>
#define getpid _getpid
#else
#include <pthread.h>
#include <unistd.h>
#endif

#include "api/api.hpp"
#include "run/step.hpp"

namespace srvq {

extern thread_local std::string error_text;

// Runs `work` and turns what it throws into a status.
template <class Work>
int guarded(Work &&work) {
    try {
        work();
        return 0;
    } catch (const std::bad_alloc &) {
        error_text = "not enough memory";
    } catch (const std::exception &e) {
        error_text = e.what();
    }
    return 1;
}

// A process's threads. A child that was forked has neither its parent's threads nor a lock in a known state: it gets new
// ones, and the old are left alone.
struct Runtime {
    explicit Runtime(int count) : threads(count), process(getpid()) {}
    std::mutex step_lock;
    Threads threads;
    int process;
};

// All engines of the process. A thread that forks waits for the steps of the others, and the child's engines stand as they
// were between two steps. Otherwise the child would have a copy of a step half done, and locks that nobody gives back.
class Engines {
public:
    Engines();
    void add(SrvqEngine *);
    void remove(SrvqEngine *);
    void hold();
    void let_go();

private:
    std::mutex lock_;
    std::set<SrvqEngine *> all_;
};

Engines &engines();

// An instruction set's kernels; "" for the best that this machine has.
const Kernels *kernels_named(const std::string &name);

}  // namespace srvq

struct SrvqEngine {
    const srvq::Kernels *kernels;
    int threads;
    srvq::Workspace workspace;  // of all programs, since one step runs at a time
    std::unique_ptr<srvq::Step> steps[srvq::kPrograms];
    std::vector<float *> states;  // of a step under way, and the streams' clocks
    std::vector<int64_t> clocks;

    srvq::Runtime &runtime() {
        const std::lock_guard lock(runtime_lock_);
        if (!runtime_ || runtime_->process != getpid()) runtime_ = new srvq::Runtime(threads);
        return *runtime_;
    }
    SrvqEngine() { srvq::engines().add(this); }
    ~SrvqEngine() {
        srvq::engines().remove(this);
        if (runtime_ && runtime_->process == getpid()) delete runtime_;
    }

    // Between the two no step runs, and the engine is whole: a fork happens there.
    void hold() {
        runtime_lock_.lock();
        if (runtime_) runtime_->step_lock.lock();
    }
    void let_go() {
        if (runtime_) runtime_->step_lock.unlock();
        runtime_lock_.unlock();
    }

    // Null: there is no such plan.
    srvq::Step *find(int64_t program) const {
        return program < 0 || program >= srvq::kPrograms ? nullptr : steps[program].get();
    }
    srvq::Step &step(int64_t program) const {
        if (srvq::Step *const found = find(program)) return *found;
        throw std::invalid_argument("program " + std::to_string(program) + " has no plan yet");
    }

private:
    std::mutex runtime_lock_;
    srvq::Runtime *runtime_ = nullptr;
};
