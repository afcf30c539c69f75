// The C interface that Python loads: plain pointers and whole numbers, no exceptions across it. 0 is success. Otherwise
// srvq_error() says what was wrong, for the thread that called.
#pragma once
#include <stdint.h>

#include "plan/spec.hpp"
#include "run/resample.hpp"

#if defined(_WIN32)
#define SRVQ_API extern "C" __declspec(dllexport)
#else
#define SRVQ_API extern "C" __attribute__((visibility("default")))
#endif

struct SrvqEngine;

// ------------------------------------------------------------------ library (library.cpp)

SRVQ_API int64_t srvq_version();      // of this interface
SRVQ_API const char *srvq_sources();  // a hash of the sources that it was built from
SRVQ_API const char *srvq_error();
// Names with commas between: instruction sets that this build and machine have, best first; the enumerators of
// srvq::LayerKind and srvq::Activation in order, so that Python can compare its own.
SRVQ_API const char *srvq_isas();
SRVQ_API const char *srvq_layer_kinds();
SRVQ_API const char *srvq_activations();
// Gives freed memory back to the system, where its C library would keep it.
SRVQ_API void srvq_trim();

// -------------------------------------------------------------------- engine (engine.cpp)

// isa: an instruction set's name, or "" for the best. Null on failure.
SRVQ_API SrvqEngine *srvq_engine_new(const char *isa, int64_t threads);
SRVQ_API void srvq_engine_free(SrvqEngine *);
// Packs a plan's weights, which can go after that. `program` is a srvq::Program. A plan that it already has is replaced,
// between two steps.
SRVQ_API int srvq_set_plan(SrvqEngine *, int64_t program, const srvq::PlanSpec *);
SRVQ_API int64_t srvq_state_size(SrvqEngine *, int64_t program);                         // −1: no such plan
SRVQ_API int64_t srvq_weight_bytes(SrvqEngine *, int64_t program, int64_t convolution);  // −1: no such convolution

// ----------------------------------------------------------------------- step (step.cpp)

// One step of `streams` streams, each by `hops` hops. Stream b is in slot slots[b], whose state is at
// states + slots[b] · state_size. A step's last act adds `hops` to counts[slots[b]], and a step that fails adds nothing: so a
// slot's count says how far its state has come. counts may be null.
// in: float [streams][hops · rate][channels] (layers, encode). out: float (layers, decode).
// codes: int64 [streams][levels][hops]. latents: float [streams][levels · dim][hops], or null.
SRVQ_API int srvq_step(SrvqEngine *, int64_t program, int64_t streams, int64_t hops, float *states, int64_t *counts,
                       const int64_t *slots, const int64_t *clock, const int64_t *length, const float *in, float *out,
                       int64_t levels, int64_t *codes, float *latents);

// ------------------------------------------------------------- resampling (resample.cpp)

// Sets a spec's kernels, fills its rows, if it has any, and says how many of them are needed (`held`). It is only read after
// that, by any number of threads. isa: as for srvq_engine_new.
SRVQ_API int srvq_resampler_prepare(const char *isa, srvq::ResamplerSpec *);
// `outputs` outputs of one mono signal. Its samples are history [2 · half], then block [count]. A sample has `up` parts, and
// the first output lies `offset` of them after the first sample of the history's second half. What is past the end counts as
// zeros. kept: gets the last 2 · half samples.
SRVQ_API int srvq_resample(const srvq::ResamplerSpec *, const float *history, const float *block, int64_t count,
                           int64_t offset, int64_t outputs, float *out, float *kept);

// --------------------------------------------------------------- measuring (measure.cpp)

// The least seconds of each phase since the last call: input, convolutions, finish. Returns the number of steps; −1: no such
// plan. A large step runs in several parts, and each of them counts. The smallest has srvq_least_part()
// streams · hops.
SRVQ_API int64_t srvq_profile(SrvqEngine *, int64_t program, double *seconds, int64_t phases);
SRVQ_API int64_t srvq_least_part(int64_t streams, int64_t hops);
// What this machine can do on the engine's threads, a second: 10⁹ float32 operations, the same of numbers that are loaded
// from a core's first cache, 10⁹ bytes read.
SRVQ_API int srvq_machine(SrvqEngine *, double seconds, double *gflops, double *load_gflops, double *gbytes);
// The functions alone, for the tests: y = tanh(x), and an activation of one channel (alpha: its parameter, or null).
SRVQ_API int srvq_tanh(SrvqEngine *, const float *x, float *y, int64_t count);
SRVQ_API int srvq_activate(SrvqEngine *, int64_t activation, const float *alpha, const float *x, float *y, int64_t count);
