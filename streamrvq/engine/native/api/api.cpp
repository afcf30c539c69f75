#include "api/api.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#if defined(_WIN32)
#include <process.h>
#define getpid _getpid
#else
#include <unistd.h>
#endif

#include "run/step.hpp"

#ifndef SRVQ_SOURCES
#define SRVQ_SOURCES ""
#endif

using namespace srvq;

namespace {

thread_local std::string error_text;

// Threads and the lock that one step at a time holds. A child process that was forked has neither its parent's threads
// nor a lock in a known state: it gets new ones, and the old are left alone.
struct Runtime {
    explicit Runtime(int count) : threads(count), process(getpid()) {}
    std::mutex turn;
    Threads threads;
    int process;
};

std::string available() {
    std::string names;
    for (const Kernels *k : {avx512_kernels(), avx2_kernels(), neon_kernels(), portable_kernels()})
        if (k) names.append(names.empty() ? "" : ",").append(k->name);
    return names;
}

const Kernels *kernels_named(const std::string &name) {
    for (const Kernels *k : {avx512_kernels(), avx2_kernels(), neon_kernels(), portable_kernels()})
        if (k && (name.empty() || name == k->name)) return k;
    throw std::invalid_argument("instruction set '" + name + "' is not to be had here; there are " + available());
}

// A step of more rows · hops than one runs in parts of at most so many rows and hops, as equal as can be: a small rest would
// read all weights for itself.
struct Parts {
    int64_t rows, hops;
};

Parts parts_of(int64_t rows, int64_t hops) {
    const auto up = [](int64_t n, int64_t by) { return (n + by - 1) / by; };
    const auto even = [&](int64_t n, int64_t most) { return up(n, up(n, most)); };
    const int64_t group = even(rows, Step::most_row_hops());
    return {group, even(hops, std::max<int64_t>(1, Step::most_row_hops() / group))};
}

template <class Do>
int guarded(Do &&work) {
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

}  // namespace

struct SrvqEngine {
    const Kernels *kernels;
    int threads;
    std::unique_ptr<Quantizer> quantizer;
    Room room;  // of the steps, of which one runs at a time
    std::unique_ptr<Step> steps[3];
    std::vector<float *> states;  // of a step under way, and the streams' clocks
    std::vector<int64_t> clocks;
    std::mutex making;
    Runtime *runtime = nullptr;

    Runtime &current() {
        if (!runtime || runtime->process != getpid()) runtime = new Runtime(threads);
        return *runtime;
    }
    ~SrvqEngine() {
        if (runtime && runtime->process == getpid()) delete runtime;
    }
    Step &step(int64_t direction) const {
        if (direction < 0 || direction > 2 || !steps[direction]) throw std::invalid_argument("no layers of this direction");
        return *steps[direction];
    }
};

int64_t srvq_version() { return 3; }
const char *srvq_sources() { return SRVQ_SOURCES; }
const char *srvq_error() { return error_text.c_str(); }
const char *srvq_isas() {
    static const std::string names = available();
    return names.c_str();
}

SrvqEngine *srvq_engine_new(const char *isa, int64_t threads) {
    std::unique_ptr<SrvqEngine> engine;
    guarded([&] {
        if (threads < 1 || threads > 1024) throw std::invalid_argument("threads must be from 1 to 1024");
        engine = std::make_unique<SrvqEngine>();
        engine->kernels = kernels_named(isa);
        engine->threads = static_cast<int>(threads);
    });
    return engine.release();
}

void srvq_engine_free(SrvqEngine *engine) { delete engine; }
int64_t srvq_threads(SrvqEngine *e) { return e->threads; }

int srvq_set_quantizer(SrvqEngine *e, const LevelSpec *specs, int64_t levels, int64_t size, int64_t dim, int64_t latent) {
    return guarded([&] { e->quantizer = std::make_unique<Quantizer>(*e->kernels, specs, levels, size, dim, latent); });
}

int srvq_set_layers(SrvqEngine *e, int64_t direction, const LayerSpec *specs, int64_t count, int64_t masked,
                    int64_t half_from) {
    return guarded([&] {
        if (direction < 0 || direction > 2 || count < 1) throw std::invalid_argument("no such direction, or no layers");
        if (direction > 0 && !e->quantizer) throw std::invalid_argument("the quantiser must be set first");
        const Quantizer *q = direction ? e->quantizer.get() : nullptr;
        Layers layers(*e->kernels, specs, count, masked != 0, half_from);
        if (direction == 1 && (layers.out_channels() != q->latent() || layers.out_rate() != 1))
            throw std::invalid_argument("an encoder must give the quantiser's latents");
        if (direction == 2 && (layers.channels != q->latent() || layers.out_channels() != 1 || layers.rate != 1))
            throw std::invalid_argument("a decoder must take the quantiser's latents and give one channel");
        e->steps[direction] =
            std::make_unique<Step>(*e->kernels, std::move(layers), q, static_cast<Kind>(direction), e->threads, e->room);
    });
}

int64_t srvq_state_size(SrvqEngine *e, int64_t direction) { return e->step(direction).layers().state_size; }

int64_t srvq_weight_bytes(SrvqEngine *e, int64_t direction, int64_t convolution) {
    const auto &convs = e->step(direction).layers().convs;
    if (convolution < 0 || convolution >= static_cast<int64_t>(convs.size())) return -1;
    return convs[static_cast<size_t>(convolution)].matrix.bytes;
}

int srvq_step(SrvqEngine *e, int64_t direction, int64_t rows, int64_t hops, float *states, const int64_t *slots,
              const int64_t *clock, const int64_t *length, const float *in, float *out, int64_t levels, int64_t *codes,
              float *latents) {
    return guarded([&] {
        Step &step = e->step(direction);
        const Layers &l = step.layers();
        const int64_t dim = e->quantizer ? e->quantizer->dim() : 0;
        if (rows < 1 || hops < 1) throw std::invalid_argument("a step must have rows and hops");
        if (direction && (levels < 1 || levels > e->quantizer->levels())) throw std::invalid_argument("levels out of range");
        for (int64_t i = 0; direction == 2 && i < rows * levels * hops; ++i)
            if (codes[i] < -1 || codes[i] >= e->quantizer->size()) throw std::invalid_argument("a code is out of range");
        Runtime *runtime;
        {
            const std::lock_guard lock(e->making);
            runtime = &e->current();
        }
        const std::lock_guard lock(runtime->turn);
        const auto [group, run] = parts_of(rows, hops);
        if (static_cast<int64_t>(e->states.size()) < group) {
            e->states.resize(static_cast<size_t>(group));
            e->clocks.resize(static_cast<size_t>(group));
        }
        float **const state = e->states.data();
        int64_t *const clocks = e->clocks.data();
        const int64_t in_row = l.rate * l.channels, out_row = l.out_rate() * l.out_channels();
        for (int64_t first = 0; first < rows; first += group) {
            const int64_t streams = std::min(group, rows - first);
            for (int64_t b = 0; b < streams; ++b) state[b] = states + slots[first + b] * l.state_size;
            for (int64_t done = 0; done < hops; done += run) {
                const int64_t now = std::min(run, hops - done);
                for (int64_t b = 0; b < streams; ++b) clocks[b] = clock[first + b] + done;
                Request r{};
                r.streams = streams;
                r.hops = now;
                r.states = state;
                r.clock = clocks;
                r.length = length + first;
                r.in_stride = hops * in_row;
                r.out_stride = hops * out_row;
                r.in = in ? in + first * r.in_stride + done * in_row : nullptr;
                r.out = out ? out + first * r.out_stride + done * out_row : nullptr;
                r.levels = levels;
                r.codes = codes ? codes + first * levels * hops + done : nullptr;
                r.code_stride = hops;
                r.latents = latents ? latents + first * levels * dim * hops + done : nullptr;
                step.prepare(r);
                runtime->threads.run(step);
                step.done();
            }
        }
    });
}

int64_t srvq_profile(SrvqEngine *e, int64_t direction, double *seconds, int64_t phases) {
    Step &step = e->step(direction);
    for (int64_t i = 0; i < phases && i < static_cast<int64_t>(step.seconds.size()); ++i) {
        seconds[i] = step.seconds[static_cast<size_t>(i)];
        step.seconds[static_cast<size_t>(i)] = 1e9;
    }
    const int64_t calls = step.calls;
    step.calls = 0;
    return calls;
}

namespace {

// Every thread does its share; the time of the best of several runs counts.
struct Measure : Job {
    const std::function<float(int64_t first, int64_t count)> work;
    int threads;
    int64_t count;
    std::atomic<float> sink{0.0f};
    Measure(int t, int64_t n, std::function<float(int64_t, int64_t)> w) : work(std::move(w)), threads(t), count(n) {}
    int phases() const override { return 1; }
    int tasks(int) override { return threads * 8; }
    void run(int, int task) override {
        const int64_t share = count / (threads * 8);
        sink = work(task * share, share);
    }
};

}  // namespace

int srvq_machine(SrvqEngine *e, double seconds, double *gflops, double *fed_gflops, double *gbytes) {
    return guarded([&] {
        Runtime &runtime = e->current();
        const std::lock_guard lock(runtime.turn);
        const Kernels &k = *e->kernels;
        const auto best = [&](int64_t count, std::function<float(int64_t, int64_t)> work) {
            Measure job(e->threads, count, std::move(work));
            double least = 1e9;
            for (double spent = 0.0; spent < seconds / 3;) {
                const auto start = std::chrono::steady_clock::now();
                runtime.threads.run(job);
                const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
                least = std::min(least, took);
                spent += took;
            }
            return least;
        };
        const auto arithmetic = [&](double (*loop)(int64_t), int64_t rounds) {
            rounds *= e->threads;
            const double took = best(rounds, [&](int64_t, int64_t count) { return static_cast<float>(loop(count)); });
            return loop(1) * static_cast<double>(rounds) / took / 1e9;
        };
        *gflops = arithmetic(k.peak, 4000000);
        *fed_gflops = arithmetic(k.fed, 60000);
        const int64_t floats = int64_t{64} << 20;  // 256 MiB: no cache holds it
        Memory array(static_cast<size_t>(floats) * sizeof(float));
        std::fill(array.as(), array.as() + floats, 1.0f);
        const double took = best(floats, [&](int64_t first, int64_t count) { return k.read(array.as() + first, count); });
        *gbytes = static_cast<double>(floats) * 4.0 / took / 1e9;
    });
}

int64_t srvq_least_part(int64_t rows, int64_t hops) {
    const Parts parts = parts_of(rows, hops);
    return ((rows - 1) % parts.rows + 1) * ((hops - 1) % parts.hops + 1);
}

void srvq_trim() {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}

int srvq_tanh(SrvqEngine *e, const float *x, float *y, int64_t count) {
    return guarded([&] {
        const PlainArithmetic plain;
        std::copy(x, x + count, y);
        e->kernels->tanh(y, count);
    });
}

int srvq_snake(SrvqEngine *e, const float *x, float *y, int64_t count, float alpha) {
    return guarded([&] {
        const PlainArithmetic plain;
        const double turn = static_cast<double>(alpha) / 3.14159265358979323846;
        const float high = static_cast<float>(turn), low = static_cast<float>(turn - high);
        const float inverse = static_cast<float>(1.0 / (static_cast<double>(alpha) + 1e-9));
        e->kernels->sine(x, y, count, {&high, &low, &inverse});
    });
}
