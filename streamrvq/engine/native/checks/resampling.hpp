// The resampler against plain loops: every instruction set, in one block and in many, with rows and without. The samples'
// hash is a constant, so that every processor is compared with every other.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "api/api.hpp"

namespace checks {

struct Rates {
    int64_t up, down;
    bool even;  // the filter is symmetric, so that half of the rows suffice
};

// Numbers of a few bits in place of a filter: they have all the roundings that a filter has.
inline std::vector<double> cubics(int64_t reach, int64_t pieces_per_unit, bool even) {
    std::mt19937 random(11);
    std::vector<double> pieces(static_cast<size_t>(8 * reach * pieces_per_unit));
    for (double &c : pieces) c = (static_cast<double>(random()) - 0x1p31) * 0x1p-34;
    if (!even) return pieces;
    // Straight lines, and zero at both ends.
    const size_t count = pieces.size() / 4;
    double before = 0.0;
    for (size_t i = 0; i < (count + 1) / 2; ++i) {
        const double after = pieces[4 * i];
        double *const left = &pieces[4 * i], *const right = &pieces[4 * (count - 1 - i)];
        left[0] = before, left[1] = after - before;
        right[0] = after, right[1] = before - after;
        left[2] = left[3] = right[2] = right[3] = 0.0;
        before = after;
    }
    return pieces;
}

inline double coefficient(const srvq::ResamplerSpec &r, int64_t phase, int64_t tap) {
    const int64_t q = std::max(r.up, r.down), at = ((tap + 1 - r.half) * r.up - phase + r.reach * q) * r.pieces_per_unit;
    if (tap >= 2 * r.half || at < 0 || at >= 2 * r.reach * r.pieces_per_unit * q) return 0.0;
    const double *const c = r.pieces + 4 * (at / q);
    const double t = static_cast<double>(at % q) / static_cast<double>(q);
    double value = c[3] * t;
    value = value + c[2];
    value = value * t;
    value = value + c[1];
    value = value * t;
    value = value + c[0];
    value = value * r.gain;
    const double grid = 0x1.8p52 * r.unit;
    value = value + grid;
    return value - grid;
}

inline float output(const srvq::ResamplerSpec &r, const std::vector<float> &x, int64_t m) {
    const int64_t place = m * r.down / r.up, phase = m * r.down % r.up;
    double sums[8] = {};
    for (int64_t tap = 0; tap < r.taps; ++tap) {
        const int64_t at = place + 1 - r.half + tap;
        const double sample = at >= 0 && at < static_cast<int64_t>(x.size()) ? x[static_cast<size_t>(at)] : 0.0f;
        const double product = sample * coefficient(r, phase, tap);
        sums[tap % 8] = sums[tap % 8] + product;
    }
    const double sum = ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
    return static_cast<float>(std::min(std::max(sum, -r.most), r.most));
}

inline uint64_t fnv(const std::vector<float> &values) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const float value : values) {
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof bits);
        for (int shift = 0; shift < 32; shift += 8) hash = (hash ^ (bits >> shift & 255)) * 0x100000001b3u;
    }
    return hash;
}

// Whether an instruction set gives what the plain loops give, with these bits.
inline bool resamples(const char *isa, const Rates &rates, uint64_t wanted_hash) {
    constexpr int64_t reach = 5, per_unit = 8, samples = 700;
    const std::vector<double> pieces = cubics(reach, per_unit, rates.even);
    srvq::ResamplerSpec r{};
    r.pieces = pieces.data();
    r.up = rates.up;
    r.period = rates.up < 8 ? 3 * rates.up : rates.up;
    r.down = rates.down;
    while (r.inverse * r.down % r.up != 1 % r.up) ++r.inverse;
    r.half = (reach * std::max(r.up, r.down) + r.up - 1) / r.up;
    r.taps = (2 * r.half + 7) / 8 * 8;
    r.pad = ((r.up - 1 + 3 * r.down) / r.up + 7) / 8 * 8;
    r.reach = reach;
    r.pieces_per_unit = per_unit;
    r.gain = r.down > r.up ? static_cast<double>(r.up) / static_cast<double>(r.down) : 1.0;
    r.unit = 0x1p-28;
    r.most = 0.25;
    std::mt19937 random(5);
    std::vector<float> x(samples);
    for (float &value : x) value = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;

    std::vector<float> wanted(static_cast<size_t>(std::max<int64_t>(0, ((samples - r.half) * r.up + r.down - 1) / r.down)));
    for (size_t m = 0; m < wanted.size(); ++m) wanted[m] = output(r, x, static_cast<int64_t>(m));
    if (fnv(wanted) != wanted_hash) return false;

    std::vector<int32_t> rows(static_cast<size_t>(r.pad + r.period * (r.pad + r.taps)));
    for (const bool table : {false, true})
        for (const int64_t longest : {int64_t{7}, samples}) {
            r.rows = table ? rows.data() : nullptr;
            if (srvq_resampler_prepare(isa, &r)) return false;
            if (table && rates.even != (r.held < r.period)) return false;
            std::vector<float> history(static_cast<size_t>(2 * r.half)), kept(history.size()), came;
            for (int64_t taken = 0, count = 1; taken < samples; taken += count, count = count % longest + 1) {
                count = std::min(longest == samples ? samples : count, samples - taken);
                const int64_t first = static_cast<int64_t>(came.size());
                const int64_t ready = std::max<int64_t>(0, ((taken + count - r.half) * r.up + r.down - 1) / r.down);
                came.resize(static_cast<size_t>(std::max(first, ready)));
                const int64_t offset = first * r.down - (taken - r.half) * r.up;
                if (srvq_resample(&r, history.data(), x.data() + taken, count, offset, ready - first, came.data() + first,
                                  kept.data()))
                    return false;
                history.swap(kept);
            }
            if (came.size() != wanted.size() || std::memcmp(came.data(), wanted.data(), 4 * came.size()) != 0) return false;
        }
    return true;
}

// How many pairs of rates an instruction set resamples to other bits.
inline int wrong_resampling(const char *isa) {
    const struct {
        Rates rates;
        uint64_t hash;
    } all[] = {
        {{147, 160, false}, 0xc6cd079f5c841006u}, {{441, 160, false}, 0xcb5c71dcb1557609u},
        {{1, 6, false}, 0x01b2a08150839ef4u},     {{2, 1, false}, 0x323f98de00f802abu},
        {{7919, 8000, false}, 0x5eec6748c0ac36e4u}, {{147, 160, true}, 0x34ed44d4295ca4d7u},
        {{147, 320, true}, 0xab56d23676b41283u},  {{160, 441, true}, 0x54b35fbfa39dfb20u},
        {{441, 80, true}, 0x5a031aba76e19125u},   {{8, 3, true}, 0x6ecfadd0f518d5ffu},
    };
    int wrong = 0;
    for (const auto &[rates, hash] : all) wrong += !resamples(isa, rates, hash);
    return wrong;
}

}  // namespace checks
