// The activations that can stand in front of a convolution: the one list that the ABI, the plan and the kernels read.
//
// What each computes is a struct of activations.inl.hpp; its constants are packed in plan/activation.cpp. Python has the
// same list in geometry.Activation, in the same order.
#pragma once
#include <cstdint>

// X(name, the struct that computes it)
#define SRVQ_ACTIVATIONS(X) \
    X(none, Identity)       \
    X(snake, Snake)         \
    X(elu, Elu)             \
    X(gelu, Gelu)

namespace srvq {

#define SRVQ_ENUMERATOR(name, type) name,
enum class Activation : int64_t { SRVQ_ACTIVATIONS(SRVQ_ENUMERATOR) };
#undef SRVQ_ENUMERATOR

#define SRVQ_NAME(name, type) #name,
constexpr const char *kActivationNames[] = {SRVQ_ACTIVATIONS(SRVQ_NAME)};
#undef SRVQ_NAME

// An activation and its constants: constant i of column j is constants[i][j]. Padded to whole blocks; null where the
// activation has none.
struct ActivationView {
    static constexpr int kMaxConstants = 3;
    Activation kind;
    const float *constants[kMaxConstants];
};

}  // namespace srvq
