// Engines and their plans.
#include "api/engine.hpp"

#include "kernels/instruction_sets.hpp"

using namespace srvq;

namespace {

std::string available() {
    std::string names;
    for (const auto kernels : kInstructionSets)
        if (const Kernels *k = kernels()) names.append(names.empty() ? "" : ",").append(k->name);
    return names;
}

}  // namespace

namespace srvq {

const Kernels *kernels_named(const std::string &name) {
    for (const auto kernels : kInstructionSets)
        if (const Kernels *k = kernels(); k && (name.empty() || name == k->name)) return k;
    throw std::invalid_argument("instruction set '" + name + "' is not available on this machine; choose from " + available());
}

Engines &engines() {
    static Engines &all = *new Engines();  // never destroyed: a thread may be in a step at exit
    return all;
}

Engines::Engines() {
#if !defined(_WIN32)
    const auto let_go = [] { engines().let_go(); };
    pthread_atfork([] { engines().hold(); }, let_go, let_go);
#endif
}

void Engines::add(SrvqEngine *engine) {
    const std::lock_guard lock(lock_);
    all_.insert(engine);
}

void Engines::remove(SrvqEngine *engine) {
    const std::lock_guard lock(lock_);
    all_.erase(engine);
}

void Engines::hold() {
    lock_.lock();
    for (SrvqEngine *const engine : all_) engine->hold();
}

void Engines::let_go() {
    for (SrvqEngine *const engine : all_) engine->let_go();
    lock_.unlock();
}

}  // namespace srvq

const char *srvq_isas() {
    static const std::string names = available();
    return names.c_str();
}

SrvqEngine *srvq_engine_new(const char *isa, int64_t threads) {
    std::unique_ptr<SrvqEngine> engine;
    guarded([&] {
        if (threads < 1 || threads > 1024) throw std::invalid_argument("threads must be from 1 to 1024");
        const Kernels *const kernels = kernels_named(isa);  // throws before there is an engine
        engine = std::make_unique<SrvqEngine>();
        engine->kernels = kernels;
        engine->threads = static_cast<int>(threads);
    });
    return engine.release();
}

void srvq_engine_free(SrvqEngine *engine) { delete engine; }

int srvq_set_plan(SrvqEngine *e, int64_t program, const PlanSpec *spec) {
    return guarded([&] {
        if (program < 0 || program >= kPrograms) throw std::invalid_argument("there is no such program");
        auto step = std::make_unique<Step>(*e->kernels, Plan(*e->kernels, static_cast<Program>(program), *spec), e->threads,
                                           e->workspace);
        const std::lock_guard lock(e->lock);
        e->steps[program].swap(step);
    });
}

int64_t srvq_state_size(SrvqEngine *e, int64_t program) {
    const std::lock_guard lock(e->lock);
    const Step *const step = e->find(program);
    return step ? step->plan().state_size : -1;
}

int64_t srvq_weight_bytes(SrvqEngine *e, int64_t program, int64_t convolution) {
    const std::lock_guard lock(e->lock);
    const Step *const step = e->find(program);
    if (!step || convolution < 0 || convolution >= static_cast<int64_t>(step->plan().convs.size())) return -1;
    return step->plan().convs[static_cast<size_t>(convolution)].weight_bytes();
}
