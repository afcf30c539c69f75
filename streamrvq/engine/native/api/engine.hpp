// An engine behind the C interface: its plans, its threads, and the lock that lets one step run at a time; and how it
// comes through a fork.
#pragma once
#include <cstdio>
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

// What the thread's last call that failed complained of. An array: it is written where no memory is left, too.
extern thread_local char error_text[512];

inline void complain(const char *of) { std::snprintf(error_text, sizeof error_text, "%s", of); }

// Runs `work` and turns what it throws into a status.
template <class Work>
int guarded(Work &&work) {
    try {
        work();
        return 0;
    } catch (const std::bad_alloc &) {
        complain("not enough memory");
    } catch (const std::exception &e) {
        complain(e.what());
    }
    return 1;
}

// A process's threads. A child that was forked has none of its parent's: it gets new ones, and the old are left alone.
struct Runtime {
    explicit Runtime(int count) : threads(count), process(getpid()) {}
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

    // Held by whoever uses what follows. So one step runs at a time, and no plan is replaced under it.
    std::mutex lock;
    srvq::Workspace workspace;  // of all programs
    std::unique_ptr<srvq::Step> steps[srvq::kPrograms];
    std::vector<float *> states;  // of a step under way, and the streams' clocks
    std::vector<int64_t> clocks;

    // Those of this process. The first call starts them.
    srvq::Threads &pool() {
        if (!runtime_ || runtime_->process != getpid()) runtime_ = new srvq::Runtime(threads);
        return runtime_->threads;
    }
    SrvqEngine() { srvq::engines().add(this); }
    ~SrvqEngine() {
        srvq::engines().remove(this);
        if (runtime_ && runtime_->process == getpid()) delete runtime_;
    }

    // Between the two no step runs, and the engine is whole: a fork happens there.
    void hold() { lock.lock(); }
    void let_go() { lock.unlock(); }

    // Null: there is no such plan.
    srvq::Step *find(int64_t program) const {
        return program < 0 || program >= srvq::kPrograms ? nullptr : steps[program].get();
    }
    srvq::Step &step(int64_t program) const {
        if (srvq::Step *const found = find(program)) return *found;
        throw std::invalid_argument("program " + std::to_string(program) + " has no plan yet");
    }

private:
    srvq::Runtime *runtime_ = nullptr;
};
