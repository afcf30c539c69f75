#include "plan/activation.hpp"

#include <stdexcept>
#include <string>

namespace srvq {

namespace {

constexpr double kPi = 3.14159265358979323846;

// See Snake in kernels/activations.inl.hpp. Computed in double precision, rounded once.
void pack_snake(PackedActivation &packed, const Kernels &k, const float *alpha, int64_t channels, int64_t columns) {
    if (!alpha) throw std::invalid_argument("a snake needs its alpha");
    const auto turn = [&](int64_t j) { return static_cast<double>(alpha[j % channels]) / kPi; };
    packed.constants[0] = pack_columns(k, columns, [&](int64_t j) { return static_cast<float>(turn(j)); });
    packed.constants[1] =
        pack_columns(k, columns, [&](int64_t j) { return static_cast<float>(turn(j) - static_cast<float>(turn(j))); });
    packed.constants[2] = pack_columns(k, columns, [&](int64_t j) {
        return static_cast<float>(1.0 / (static_cast<double>(alpha[j % channels]) + 1e-9));
    });
}

}  // namespace

PackedActivation pack_activation(const Kernels &k, Activation kind, const float *alpha, int64_t channels, int64_t columns) {
    PackedActivation packed;
    packed.kind = kind;
    switch (kind) {
        case Activation::none:
        case Activation::elu:
        case Activation::gelu: return packed;
        case Activation::snake: pack_snake(packed, k, alpha, channels, columns); return packed;
    }
    throw std::invalid_argument("activation " + std::to_string(static_cast<int64_t>(kind)) + " is unknown");
}

}  // namespace srvq
