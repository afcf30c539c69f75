// What the library says of itself.
#include <string>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "api/engine.hpp"

#ifndef SRVQ_SOURCES
#define SRVQ_SOURCES ""
#endif

thread_local char srvq::error_text[512];

namespace {

template <size_t N>
std::string joined(const char *const (&names)[N]) {
    std::string all;
    for (const char *name : names) all.append(all.empty() ? "" : ",").append(name);
    return all;
}

}  // namespace

int64_t srvq_version() { return 8; }
const char *srvq_sources() { return SRVQ_SOURCES; }
const char *srvq_error() { return srvq::error_text; }

const char *srvq_layer_kinds() {
    static const std::string names = joined(srvq::kLayerKindNames);
    return names.c_str();
}

const char *srvq_activations() {
    static const std::string names = joined(srvq::kActivationNames);
    return names.c_str();
}

void srvq_trim() {
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}
