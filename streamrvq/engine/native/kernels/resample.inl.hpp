// Sums of a resampler: each output is the products of a window of samples with a row of coefficients. Included by
// kernels.inl.hpp.
//
// A coefficient is a whole number of at most 29 bits and a sample has 24, so that every product is exact in double precision.
// Eight sums, one for each remainder of the tap's number, take the products in order. Then they are halved: the upper four are
// added to the lower four, the upper two of these to the lower two, the upper one to the lower one. So the bits are the same
// for every width of vector, and numpy can make them too.
//
// The total is multiplied by the coefficients' unit, a power of two. That changes no bit: a product is a multiple of 2⁻¹⁴⁹,
// and of 2⁻¹⁸⁶ with its unit, so that no sum comes near the least number of double precision, with the unit or without.
//
// Outputs are computed in tiles: R rows that follow each other, times N outputs of each row, a period apart. What is loaded of
// a row serves N outputs, and what is loaded of the samples serves R. For that, the windows of all R rows begin where the first
// one does, and later rows have zeros first. They turn the eight sums in a circle; halving adds the same pairs wherever the
// circle begins. And a sum of zeros and products is what it is without the zeros.
//
// Halving adds the same pairs backwards, too: 7 to 3 as 3 to 7. So where a row is another one backwards, both the samples and
// that row are read backwards, eight at a time, and no vector has to be turned. Half of the rows are then enough, and a
// live push has half as much to fetch.
#pragma once
#include "kernels/kernels.hpp"

namespace srvq {
namespace {

using Doubles = V::Doubles;
constexpr int kDoubles = V::kWidth / 2, kParts = 8 / kDoubles;  // of the eight sums of an output
static_assert(kDoubles * kParts == 8);
// Outputs of a tile, at most. Each needs a register.
constexpr int kTileOutputs = V::kRows * V::kVectors < 16 ? 8 : 16;
constexpr int kTileRows = 8, kTileColumns = 4;

// Where a tile's outputs go: those of its first row to out, out + period …
struct Places {
    float *out;
    int64_t period;
    double unit, most;
};

// The windows of R rows, and where each row meets the first of them. Both pointers are to eight numbers, those of the first
// eight taps. `step` leads to the next eight: it is 8, or −8 where all is read backwards.
struct Windows {
    const double *x;
    int64_t apart;  // from a window to the next one of the same rows
    const int32_t *const *rows;
    int64_t taps, step;  // taps is a multiple of 8
};

// Part p of the sums of R·N outputs, [N][R].
template <int R, int N>
inline void part_of_tile(const Windows &w, int p, Doubles *part) {
    Doubles sums[N][R] = {};
    const double *const x = w.x;
    const int64_t apart = w.apart, step = w.step, end = p * kDoubles + (step < 0 ? -w.taps : w.taps);
    for (int64_t i = p * kDoubles; i != end; i += step) {
        Doubles coefficients[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) coefficients[r] = V::load_integers(w.rows[r] + i);
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) {
            Doubles samples;
            __builtin_memcpy(&samples, x + n * apart + i, sizeof samples);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) sums[n][r] = V::add_exact_product(samples, coefficients[r], sums[n][r]);
        }
    }
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n)
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) part[n * R + r] = sums[n][r];
}

// R rows, and N windows of each.
template <int R, int N>
void make_tile(const Windows &windows, const Places &places) {
    constexpr int kVectors = (R * N + kDoubles - 1) / kDoubles, kAll = kVectors * kDoubles;
    Doubles part[kParts][kAll] = {};
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p) part_of_tile<R, N>(windows, p, part[p]);
    const Doubles unit = V::broadcast_double(places.unit);
    const Doubles most = V::broadcast_double(places.most), least = V::broadcast_double(-places.most);
    float made[kAll];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
        Doubles halved[kDoubles];
#pragma GCC unroll 8
        for (int i = 0; i < kDoubles; ++i) {
            const int o = v * kDoubles + i;
            if constexpr (kParts == 1)
                halved[i] = part[0][o];
            else if constexpr (kParts == 2)
                halved[i] = part[0][o] + part[1][o];
            else
                halved[i] = (part[0][o] + part[2][o]) + (part[1][o] + part[3][o]);
        }
        V::store_rounded(made + v * kDoubles, V::max(least, V::min(most, V::halved(halved) * unit)));
    }
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) __builtin_memcpy(places.out + n * places.period, made + n * R, R * sizeof(float));
}

// `count` outputs of each of R rows.
template <int R>
void make_rows(Windows windows, int64_t count, Places places) {
    constexpr int kColumns = kTileOutputs / R < kTileColumns ? kTileOutputs / R : kTileColumns;
    while (count > 0) {
        const int64_t n = count < kColumns ? count : kColumns;
        if constexpr (kColumns > 2) {
            if (n == 4) make_tile<R, 4>(windows, places);
            if (n == 3) make_tile<R, 3>(windows, places);
        }
        if constexpr (kColumns > 1)
            if (n == 2) make_tile<R, 2>(windows, places);
        if (n == 1) make_tile<R, 1>(windows, places);
        count -= n;
        windows.x += n * windows.apart;
        places.out += n * places.period;
    }
}

// Samples in double precision.
void widen(const float *from, int64_t count, double *to) {
    int64_t i = 0;
    for (; i + kDoubles <= count; i += kDoubles) {
        const Doubles samples = V::load_floats(from + i);
        __builtin_memcpy(to + i, &samples, sizeof samples);
    }
    for (; i < count; ++i) to[i] = static_cast<double>(from[i]);
}

void resample(const Resampling &r) {
    const int64_t kept = r.outputs < r.period ? r.outputs : r.period, pitch = r.pad + r.taps;
    // Of each row so many outputs, and of so many rows one more.
    const int64_t each = r.outputs / r.period, more = r.outputs % r.period;
    const int64_t whole = r.down / r.up, rest = r.down % r.up;
    const auto fits = [&r](int64_t rows) { return (r.up - 1 + (rows - 1) * r.down) / r.up <= r.pad; };
    const int64_t widest = fits(kTileRows) ? kTileRows : 4;
    double *const last = r.turned + r.inputs - 1;  // x[0]
    if (r.held < r.period)
        for (int64_t k = 0; k < r.inputs; ++k) last[-k] = r.x[k];
    int64_t row = r.row, phase = r.phase, at = 0;  // of the next output: its row, and where its window begins
    for (int64_t i = 0; i < kept;) {
        const bool back = row >= r.held;
        const int64_t count = each + (i < more), same = (back ? r.period : r.held) - row;
        int64_t alike = (i < more ? more : kept) - i;
        if (alike > same) alike = same;
        const int64_t most = count > 2 ? kTileOutputs / 4 : widest;
        const int64_t n = alike >= most ? most : alike >= 4 ? 4 : alike >= 2 ? 2 : 1;
        const int32_t *rows[kTileRows];
        int64_t late = 0, next = 0;  // samples from the first row's window to the last one's, and to that after it
        for (int64_t k = 0; k < n; ++k) {
            late = next;
            rows[k] = back ? r.rows + (r.period - row) * pitch + r.pad + r.length - 8 + late
                           : r.rows + row * pitch + r.pad - late;
            if (++row == r.period) row = 0;
            next += whole;
            phase += rest;
            if (phase >= r.up) phase -= r.up, ++next;
        }
        const int64_t taps = (r.length + late + 7) & -8;
        const Windows windows = back ? Windows{last - at - 7, -r.apart, rows, taps, -8}
                                     : Windows{r.x + at, r.apart, rows, taps, 8};
        const Places places{r.out + i, r.period, r.unit, r.most};
        if (n == 8)
            make_rows<8>(windows, count, places);
        else if (n == 4)
            make_rows<4>(windows, count, places);
        else if (n == 2)
            make_rows<2>(windows, count, places);
        else
            make_rows<1>(windows, count, places);
        at += next;
        i += n;
    }
}

}  // namespace
}  // namespace srvq
