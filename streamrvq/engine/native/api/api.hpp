// The C interface that Python loads: plain pointers and whole numbers, no exceptions across it. 0 is success; otherwise
// srvq_error() says what was wrong, for the thread that called.
#pragma once
#include <stdint.h>

#include "plan/plan.hpp"
#include "plan/quantizer.hpp"

#if defined(_WIN32)
#define SRVQ_API extern "C" __declspec(dllexport)
#else
#define SRVQ_API extern "C" __attribute__((visibility("default")))
#endif

struct SrvqEngine;

SRVQ_API int64_t srvq_version();       // of this interface
SRVQ_API const char *srvq_sources();   // a hash of the sources that it was built from
SRVQ_API const char *srvq_isas();      // instruction sets that can be had here, best first, with commas between
SRVQ_API const char *srvq_error();

SRVQ_API SrvqEngine *srvq_engine_new(const char *isa, int64_t threads);
SRVQ_API void srvq_engine_free(SrvqEngine *);
// `direction` 0: layers alone, 1: encode, 2: decode. For 1 and 2 the quantiser must be there first.
SRVQ_API int srvq_set_quantizer(SrvqEngine *, const srvq::LevelSpec *, int64_t levels, int64_t size, int64_t dim,
                                int64_t latent);
SRVQ_API int srvq_set_layers(SrvqEngine *, int64_t direction, const srvq::LayerSpec *, int64_t count, int64_t masked,
                             int64_t half_from);
// One step. in: float [rows][hops · rate][channels] (layers, encode); out: float (layers, decode); codes: int64
// [rows][levels][hops]; latents: float [rows][levels · dim][hops] or null. states: slot s's at states + s · state_size.
SRVQ_API int srvq_step(SrvqEngine *, int64_t direction, int64_t rows, int64_t hops, float *states, const int64_t *slots,
                       const int64_t *clock, const int64_t *length, const float *in, float *out, int64_t levels,
                       int64_t *codes, float *latents);
SRVQ_API int64_t srvq_state_size(SrvqEngine *, int64_t direction);
SRVQ_API int64_t srvq_threads(SrvqEngine *);
SRVQ_API int64_t srvq_weight_bytes(SrvqEngine *, int64_t direction, int64_t convolution);  // −1: no such
// The least seconds of each phase since the last call (input, convolutions, finish); the number of steps as the result.
// A large step runs in several parts, each of which counts; the least of them has srvq_least_part() rows · hops.
SRVQ_API int64_t srvq_profile(SrvqEngine *, int64_t direction, double *seconds, int64_t phases);
SRVQ_API int64_t srvq_least_part(int64_t rows, int64_t hops);
// What this machine can do on the engine's threads, a second: 10⁹ float32 operations, those of numbers that are loaded
// from a core's first cache, 10⁹ bytes read.
SRVQ_API int srvq_machine(SrvqEngine *, double seconds, double *gflops, double *fed_gflops, double *gbytes);
// Gives freed memory back to the system, where its C library would keep it.
SRVQ_API void srvq_trim();
// The functions alone, for the tests: y = tanh(x), or x + sin²(αx)/(α + 1e-9).
SRVQ_API int srvq_tanh(SrvqEngine *, const float *x, float *y, int64_t count);
SRVQ_API int srvq_snake(SrvqEngine *, const float *x, float *y, int64_t count, float alpha);
