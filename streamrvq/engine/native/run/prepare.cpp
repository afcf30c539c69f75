// Before a step: its parts, memory for it, where its values lie in time, how its layers are cut into tasks, what is prefetched.
#include <algorithm>

#include "run/step.hpp"

namespace srvq {

namespace {

// Bytes of weights that fit a core's own cache beside everything else.
constexpr int64_t kCoreCache = int64_t{1} << 19;

// Multiply-accumulates of a task of a few microseconds.
constexpr int64_t kTaskWork = 200000;

void at_least(Memory &memory, size_t bytes) {
    if (memory.bytes() >= bytes) return;
    memory = Memory();  // first, so that the two are never there at once
    memory = Memory(bytes);
}

}  // namespace

Parts parts_of(int64_t streams, int64_t hops, int64_t least) {
    const auto up = [](int64_t n, int64_t by) { return (n + by - 1) / by; };
    const auto even = [&](int64_t n, int64_t most) { return up(n, up(n, most)); };
    least = std::min(least, hops);
    const int64_t group = even(streams, kMaxStreamHops / least);
    return {group, std::max(least, even(hops, std::max<int64_t>(1, kMaxStreamHops / group)))};
}

void Step::prepare(const Request &request) {
    request_ = request;
    grow();
    edges_.compute(plan_, request_);
    stages_.clear();
    for (size_t i = 0, turn = 0; i < plan_.convs.size(); ++turn) {
        stages_.push_back(stage_at(i));
        place_[i] = turn % Workspace::kTurns;
        if (stages_.back().last > i) place_[++i] = Workspace::kInsideUnit;
        ++i;
    }
    stage_phases_.clear();
    for (size_t s = 0; s < stages_.size(); ++s) {
        const Convolution &c = plan_.convs[stages_[s].first];
        const bool attends = c.spec.kind == LayerKind::attention;
        const int64_t phases = c.is_lstm() ? lstm_phases(c) : attends ? attention_phases() : 1;
        for (int64_t part = 0; part < phases; ++part) stage_phases_.push_back({s, part, part == 0, part + 1 == phases});
    }
    plan_prefetch();
    start();
}

// Whether i and i + 1 run as one, such as a residual unit's two convolutions. The second has one tap, so it can follow the
// first strip by strip. Nor may the first have a shortcut: that would be a third product, which `compute` does not make.
bool Step::fusible(size_t i) const {
    if (i + 1 >= plan_.convs.size()) return false;
    const Convolution &a = plan_.convs[i], &b = plan_.convs[i + 1];
    return a.multiplies() && b.multiplies() && !a.is_lstm() && !b.is_lstm() && b.window.taps == 1 && b.window.stride == 1 && b.history.rows == 0 && a.window.per_row == 1 &&
           b.window.per_row == 1 && a.epilogue.skip < 0 && !a.shortcut;
}

Step::Stage Step::stage_at(size_t i) const {
    const Convolution &c = plan_.convs[i];
    const int64_t rows = request_.streams * request_.hops * c.rows, tile = kernels_.tile_rows;
    if (!c.multiplies()) return {.first = i, .last = i, .rows = rows, .blocks = 0, .strip = rows, .large = false};
    const int64_t blocks = c.matrix.blocks(kernels_);
    // Several tasks for each thread, so that none waits long for the last one.
    const int64_t work = rows * c.matrix.depth * c.matrix.columns / kTaskWork;
    const int64_t wanted = threads_ == 1 ? 1 : std::clamp<int64_t>(work, 1, 8 * threads_);
    const bool large = c.matrix.bytes > kCoreCache;
    Stage stage{.first = i, .last = i, .rows = rows, .blocks = blocks, .strip = rows, .large = large};
    // Each task of a fused pair reads all weights. So large weights get few tasks, of many rows each.
    const int64_t least = (large ? 16 : 2) * tile;
    if (fusible(i) && rows >= least * threads_) {
        stage.last = i + 1;
        stage.row_parts = large ? rows / least : std::min(wanted, rows / tile);
        stage.strip = large ? rows : 4 * tile;
        return stage;
    }
    stage.block_parts = std::min(blocks, wanted);
    stage.row_parts = std::min((wanted + stage.block_parts - 1) / stage.block_parts, (rows + tile - 1) / tile);
    return stage;
}

// Makes the workspace large enough. An allocation that failed is tried again at the next step.
void Step::grow() {
    most_streams_ = std::max(most_streams_, request_.streams);
    most_hops_ = std::max(most_hops_, request_.hops);
    const auto floats = [](Memory &m, int64_t numbers) { at_least(m, static_cast<size_t>(numbers) * sizeof(float)); };
    // No step has more than kMaxStreamHops, even if one had the most streams and another the most hops.
    const int64_t most = std::min(kMaxStreamHops, most_streams_ * most_hops_);
    constexpr int64_t spare = 64;  // kernels may load past the end
    for (Memory &m : workspace_.inputs) floats(m, most * plan_.widest_input + most_streams_ * plan_.longest_history + spare);
    for (Memory &m : workspace_.skips) floats(m, most * plan_.widest_skip + most_streams_ * plan_.longest_skip_history + spare);
    if (plan_.has_shortcut) floats(workspace_.joined, most * plan_.widest_skip + spare);
    const int64_t units = plan_.widest_lstm, frames = most * plan_.lstm_rate;
    if (units) {
        floats(workspace_.gates, frames * 4 * units + spare);
        floats(workspace_.frame, most_streams_ * 4 * units + spare);
    }
    if (plan_.widest_hidden) floats(workspace_.hidden, most * plan_.widest_hidden + most_streams_ * plan_.widest_row + spare);
    if (plan_.scores) {
        floats(workspace_.queries, most * plan_.widest_kept / 2 + spare);
        floats(workspace_.kept, most * plan_.widest_kept + most_streams_ * plan_.longest_kept + spare);
        floats(workspace_.scores, most * plan_.scores + spare);
    }
    if (!plan_.quantizer) return;
    floats(workspace_.latents, most * plan_.quantizer->latent + spare);
    const int64_t tasks = plan_.program == Program::encode ? std::min<int64_t>(threads_, kMaxStreamHops) : kMaxStreamHops;
    at_least(workspace_.scratch, static_cast<size_t>(tasks) * scratch_.bytes);
}

}  // namespace srvq
