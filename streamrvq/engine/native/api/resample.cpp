// Resampling, which needs no engine.
#include "run/resample.hpp"

#include <algorithm>

#include "api/engine.hpp"
#include "run/rounding.hpp"

using namespace srvq;

int srvq_resampler_rows(const ResamplerSpec *spec, int64_t phase, int64_t count, double *rows) {
    return guarded([&] {
        const PlainArithmetic plain;
        resampler_rows(*spec, phase, count, rows);
    });
}

int srvq_resample(const char *isa, const ResamplerSpec *spec, const float *history, const float *block, int64_t count,
                  int64_t at, int64_t phase, int64_t row, int64_t outputs, float *out, float *kept) {
    return guarded([&] {
        const PlainArithmetic plain;
        const int64_t held = 2 * spec->half, old = std::max<int64_t>(0, held - count);
        if (outputs > 0) resample(*kernels_named(isa), *spec, {history, block, held, count}, at, phase, row, outputs, out);
        std::copy(history + held - old, history + held, kept);
        std::copy(block + count - (held - old), block + count, kept + old);
    });
}
