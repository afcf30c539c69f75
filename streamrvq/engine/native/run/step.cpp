#include "run/step.hpp"

#include <algorithm>
#include <chrono>

#include "run/quantize.hpp"

namespace srvq {

namespace {

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A place `numbers` after p, or before it where that is negative, be it outside of what p points into: rows that are counted
// from there on lie inside.
float *moved(float *p, int64_t numbers) {
    return reinterpret_cast<float *>(reinterpret_cast<uintptr_t>(p) + static_cast<uintptr_t>(numbers) * sizeof(float));
}

}  // namespace

Step::Step(const Kernels &k, Plan plan, int threads, Workspace &workspace)
    : kernels_(k), plan_(std::move(plan)), threads_(threads), workspace_(workspace) {
    const size_t n = plan_.convs.size();
    if (plan_.quantizer) scratch_ = QuantizerScratch(*plan_.quantizer, plan_.program == Program::encode ? kMaxStreamHops : 1);
    seconds.assign(n + 2, 1e9);
    stages_.reserve(n);
    place_.resize(n);
}

// ------------------------------------------------------------------ phases

int Step::phases() const { return static_cast<int>(stage_phases_.size()) + 2; }

// Besides the tasks that compute, one task loads histories and one saves them. The first phase has none to save. Inside an
// LSTM's layer there is nothing to load or save.
int64_t Step::begin(int phase) {
    const size_t p = static_cast<size_t>(phase), n = stage_phases_.size();
    if (p == 0) {
        started_ = now();
        return request_.streams + 1;
    }
    if (p == 1 || stage_phases_[p - 2].last) {
        const double time = now();
        double &least = seconds[p == 1 ? 0 : stages_[stage_phases_[p - 2].stage].first + 1];
        least = std::min(least, time - started_);
        started_ = time;
    }
    if (p == n + 1) return groups() + 2;
    const StagePhase &one = stage_phases_[p - 1];
    const Stage &stage = stages_[one.stage];
    if (one.first) fill(stage.first);
    return tasks_of(stage, one.part) + 2;
}

void Step::start() {
    started_ = now();
    ++calls;
}

void Step::done() { seconds.back() = std::min(seconds.back(), now() - started_); }

// The first task loads histories, the last one saves them. Each thread begins with its own share of the tasks, in order. So
// two threads share this work.
void Step::run(int phase, int64_t task) {
    const size_t p = static_cast<size_t>(phase), n = stage_phases_.size();
    if (p == 0) {
        task == 0 ? load_histories(0, plan_.input) : write_input(task - 1);
        return;
    }
    const StagePhase *one = p <= n ? &stage_phases_[p - 1] : nullptr;
    const Stage *stage = one ? &stages_[one->stage] : nullptr;
    const int64_t parts = stage ? tasks_of(*stage, one->part) : groups();
    if (task > parts) {  // what the stage before has left
        if (p >= 2 && stage_phases_[p - 2].last) {
            const Stage &before = stages_[stage_phases_[p - 2].stage];
            for (size_t i = before.first; i <= before.last; ++i) save_histories(i);
        }
    } else if (task > 0) {
        if (!stage) return finish(task - 1);
        if (!plan_.convs[stage->first].multiplies()) return rows(*stage, one->part, task - 1);
        one->part ? recur(*stage, one->part, task - 1) : compute(*stage, task - 1);
    } else if (p < n && one->last) {  // what the next stage will need
        load_histories(stage->last + 1, plan_.convs[stage->last].epilogue);
    }
}

// ------------------------------------------------------------------- tasks

void Step::write_input(int64_t b) {
    const int64_t rows = request_.hops * plan_.rate;
    InputRows s{};
    if (plan_.program == Program::decode) {
        char *const scratch = scratch_of(b);
        int64_t *const codes = scratch_.codes.in(scratch);
        float *const latents = workspace_.latents.as() + b * rows * plan_.channels;
        for (int64_t f = 0; f < request_.hops; ++f) {
            for (int64_t i = 0; i < request_.levels; ++i)
                codes[i] = request_.codes[(b * request_.levels + i) * request_.code_stride + f];
            dequantize(kernels_, *plan_.quantizer, codes, request_.levels, latents + f * plan_.channels, scratch_, scratch);
        }
        s.in = latents;
    } else {
        s.in = request_.in + b * request_.in_stride;
    }
    s.rows = rows;
    s.columns = plan_.channels;
    s.low = edges_.input_low(b);
    s.high = edges_.input_high(b);
    s.out = destinations(plan_.input, 0);
    s.out.active += b * s.out.active_stride;
    if (s.out.plain) s.out.plain += b * s.out.plain_stride;
    kernels_.write_input(s);
}

void Step::compute(const Stage &stage, int64_t task) {
    const int64_t i = task / stage.block_parts, j = task % stage.block_parts;
    Part part{stage.rows * i / stage.row_parts, stage.rows * (i + 1) / stage.row_parts, stage.blocks * j / stage.block_parts,
              stage.blocks * (j + 1) / stage.block_parts, stage.large, stage.prefetch};
    const int64_t unit = Prefetch::kLine * stage.prefetch.lines, units = (stage.prefetch.end - stage.prefetch.at) / unit;
    const int64_t first = units * task / stage.tasks(), count = units * (task + 1) / stage.tasks() - first;
    Conv one = arguments_of(stage.first), two = arguments_of(stage.last);
    const bool shortcut = plan_.convs[stage.last].shortcut.has_value();
    Conv across = shortcut ? shortcut_of(stage.last) : Conv{};
    float *const joined = across.out.plain, *const between = one.out.active;
    const int64_t begin = part.row0, end = part.row1, strips = std::max<int64_t>(1, (end - begin) / stage.strip);
    for (int64_t s = 0; s < strips; ++s) {
        part.row0 = begin + (end - begin) * s / strips;
        part.row1 = begin + (end - begin) * (s + 1) / strips;
        part.prefetch.at = stage.prefetch.at + (first + count * s / strips) * unit;
        part.prefetch.end = stage.prefetch.at + (first + count * (s + 1) / strips) * unit;
        const Part whole{part.row0, part.row1, 0, plan_.convs[stage.last].matrix.blocks(kernels_), stage.large, {}};
        if (stage.last == stage.first) {
            if (shortcut) kernels_.conv(across, Part{part.row0, part.row1, part.block0, part.block1, false, {}});
            kernels_.conv(one, part);
            continue;
        }
        // What passes between a unit's convolutions is used up within the strip. All strips keep it in the same place, where
        // the task's own rows begin: it stays in the core's first cache.
        const int64_t back = begin - part.row0;
        if (shortcut) {
            across.out.plain = moved(joined, back * across.columns);
            two.join = across.out.plain;
            kernels_.conv(across, whole);
        }
        one.out.active = moved(between, back * one.columns);
        two.in = one.out.active;
        kernels_.conv(one, part);
        kernels_.conv(two, whole);
    }
}

int64_t Step::group_size() const {
    if (plan_.program != Program::encode) return request_.streams;
    return (request_.streams * request_.hops + threads_ - 1) / threads_;  // a codebook is read once for all of them
}

int64_t Step::groups() const {
    switch (plan_.program) {
        case Program::layers: return 0;
        case Program::decode: return plan_.tanh ? request_.streams : 0;
        case Program::encode: break;
    }
    return (request_.streams * request_.hops + group_size() - 1) / group_size();
}

// A decoder's stream through tanh, or a group of an encoder's frames through the quantiser.
void Step::finish(int64_t group) {
    if (plan_.program == Program::decode) {
        kernels_.tanh(request_.out + group * request_.out_stride, request_.hops * plan_.out_rate());
        return;
    }
    const Quantizer &q = *plan_.quantizer;
    const int64_t first = group * group_size(), frames = std::min(group_size(), request_.streams * request_.hops - first);
    const int64_t width = request_.levels * q.dim;
    char *const scratch = scratch_of(group);
    float *const latents = scratch_.latents.in(scratch);
    int64_t *const codes = scratch_.codes.in(scratch);
    quantize(kernels_, q, workspace_.latents.as() + first * q.latent, frames, request_.levels, codes,
             request_.latents ? latents : nullptr, scratch_, scratch);
    for (int64_t f = 0; f < frames; ++f) {
        const int64_t b = (first + f) / request_.hops, j = (first + f) % request_.hops;
        for (int64_t i = 0; i < request_.levels; ++i)
            request_.codes[(b * request_.levels + i) * request_.code_stride + j] = codes[i * frames + f];
        for (int64_t i = 0; request_.latents && i < width; ++i)
            request_.latents[(b * width + i) * request_.code_stride + j] = latents[f * width + i];
    }
}

}  // namespace srvq
