// Which weights each convolution's tasks fetch into the cache for the convolutions after it.
//
// Deep layers have few rows for their many weights, and would wait for memory. The layers before them have time to spare.
#include <algorithm>
#if defined(__unix__)
#include <unistd.h>
#endif

#include "run/step.hpp"

namespace srvq {

namespace {

// At most so many bytes are fetched ahead of the weights in use. They have to fit the last-level cache, beside other data.
// Nothing is fetched where that cache keeps all weights from step to step: it gained nothing there.
constexpr int64_t kMaxDistance = int64_t{16} << 20;

// Whether the last-level cache keeps this much from step to step. False where its size is not known.
bool kept_in_cache([[maybe_unused]] size_t bytes) {
#if defined(_SC_LEVEL3_CACHE_SIZE)
    static const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return cache > 0 && bytes < static_cast<size_t>(cache) / 2;
#else
    return false;
#endif
}

}  // namespace

// Weights lie in memory in the order of their use. Each stage fetches the next ones that nobody has fetched yet: as many as
// its tiles have slots for, and at most kMaxDistance ahead.
void Step::plan_prefetch() {
    if (kept_in_cache(plan_.weights.bytes())) return;
    const char *next = nullptr;
    for (Stage &stage : stages_) {
        if (!plan_.convs[stage.first].multiplies()) continue;
        const Matrix &m = plan_.convs[stage.first].matrix, &last = plan_.convs[stage.last].matrix;
        const char *const after = last.data + last.bytes, *const limit = std::min(after + kMaxDistance, plan_.weights_end());
        next = std::max(next, after);
        // A tile has one slot for every four channels. The first tile of each block has none: it fetches its own block.
        const int64_t together = std::min(stage.strip, stage.rows / stage.row_parts);
        const int64_t free = std::max<int64_t>(0, together - kernels_.tile_rows);
        const int64_t tile = kernels_.tile_rows * kernels_.width * kernels_.vectors;
        const int64_t slots = stage.rows * free / together * m.columns * m.depth / (4 * tile);
        const int64_t one_line = std::max<int64_t>(1, slots * Prefetch::kLine), wanted = std::max<int64_t>(0, limit - next);
        const int64_t lines = std::clamp<int64_t>((wanted + one_line - 1) / one_line, 1, Prefetch::kMaxLines);
        stage.prefetch = {next, next + std::min(wanted, slots * lines * Prefetch::kLine), lines};
        next = stage.prefetch.end;
    }
}

}  // namespace srvq
