// Resampling, which needs no engine.
#include "run/resample.hpp"

#include <algorithm>

#include "api/engine.hpp"
#include "run/rounding.hpp"

using namespace srvq;

int srvq_resampler_prepare(const char *isa, ResamplerSpec *spec) {
    return guarded([&] {
        const PlainArithmetic plain;
        spec->kernels = kernels_named(isa);
        if (!spec->rows) return;
        resampler_rows(*spec, 0, spec->period, spec->rows);
        spec->held = rows_that_suffice(*spec);
    });
}

int srvq_resample(const ResamplerSpec *spec, const float *history, const float *block, int64_t count, int64_t offset,
                  int64_t outputs, float *out, float *kept) {
    return guarded([&] {
        const PlainArithmetic plain;
        const int64_t held = 2 * spec->half, old = std::max<int64_t>(0, held - count);
        if (outputs > 0) resample(*spec, {history, block, held, count}, offset, outputs, out);
        std::copy(history + held - old, history + held, kept);
        std::copy(block + count - (held - old), block + count, kept + old);
    });
}
