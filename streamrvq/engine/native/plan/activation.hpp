// An activation's constants, packed for the columns of the layer that writes through it.
#pragma once
#include "plan/pack.hpp"

namespace srvq {

struct PackedActivation {
    Activation kind = Activation::none;
    Memory constants[ActivationView::kMaxConstants];

    ActivationView view() const { return {kind, {constants[0].as(), constants[1].as(), constants[2].as()}}; }
};

// alpha [channels]: the parameters, or null where the activation has none. Column j belongs to channel j mod channels.
// Throws std::invalid_argument for an unknown activation, or for parameters that are missing.
PackedActivation pack_activation(const Kernels &k, Activation kind, const float *alpha, int64_t channels, int64_t columns);

}  // namespace srvq
