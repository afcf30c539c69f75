// What this machine can do on an engine's threads: the lines that a roofline has.
#pragma once
#include "kernels/kernels.hpp"
#include "run/threads.hpp"

namespace srvq {

struct Roofline {
    double gflops;       // 10⁹ float32 operations a second, on registers alone
    double load_gflops;  // the same, of numbers that are loaded from a core's first cache
    double gbytes;       // 10⁹ bytes a second, read from memory
};

Roofline measure_roofline(const Kernels &k, Threads &threads, double seconds);

}  // namespace srvq
