// One direction's steps: a job for the threads, phase by phase, layer by layer.
//
// Knows: buffers, tails, edges in time, and how a layer is cut into tasks. Does not know: Python, files, who asks.
//
// The first phase writes the input, the last finishes (quantises, tanh); between them each computes a convolution, or the
// two of a residual unit, whose second needs no other rows than the first has just made. Three buffers take turns as
// input of a phase: while one is read and the results and the kept tail of the next phase go into another, the third's
// last rows are kept as the new tail of the phase before. A fourth is between the two of a unit. Three take turns for
// residual skips.
#pragma once
#include <vector>

#include "plan/plan.hpp"
#include "plan/quantizer.hpp"
#include "run/threads.hpp"

namespace srvq {

// Rows of a step: `streams` of them by the same `hops`.
struct Request {
    int64_t streams, hops;
    float *const *states;  // [streams], each stream's tails
    const int64_t *clock, *length;
    const float *in;      // [streams][hops · rate][channels]; null when decoding
    float *out;           // [streams][hops · out_rate][out_channels]; null when encoding
    int64_t in_stride, out_stride;
    int64_t levels;       // of the quantiser
    int64_t *codes;       // [streams][levels][code_stride]; written when encoding, read when decoding
    int64_t code_stride;
    float *latents;       // [streams][levels · dim][code_stride] or null
};

enum class Kind { layers, encode, decode };

// What a step computes in; nothing stays from one step to the next. Those that never run at once share it.
struct Room {
    Memory buffers[4], held[3], latents, scratch;
};

class Step : public Job {
public:
    Step(const Kernels &k, Layers layers, const Quantizer *quantizer, Kind kind, int threads, Room &room);

    const Layers &layers() const { return layers_; }
    static int64_t most_row_hops() { return kMost; }
    void prepare(const Request &);  // at most kMost streams · hops; then give the job to the threads

    void done();                     // after it has run

    int phases() const override;
    int tasks(int phase) override;
    void run(int phase, int task) override;

    std::vector<double> seconds;  // the least that the input, each convolution and the end has taken; a unit's in its first
    int64_t calls = 0;

private:
    // Weights are read once for so many rows: deep layers have one or eight rows a hop, and what they read is bound by memory,
    // not by arithmetic. Room grows with it: for dac-44khz 0.2 MB a buffer and row.
    static constexpr int64_t kMost = 32;
    struct Stage {  // convolutions first … last, one or two, and how they are cut into tasks
        size_t first, last;
        int64_t rows, blocks, row_parts, block_parts, strip;
        bool large;  // weights are more than a core's own cache holds
        Ahead ahead;  // what its tasks fetch
    };

    void start();
    void grow();
    Conv conv_of(size_t i) const;
    Sinks sinks_of(const After &after, int64_t columns, bool last) const;
    int64_t span(size_t i) const;  // numbers between streams in convolution i's input
    bool joinable(size_t i) const;
    Stage stage_at(size_t i) const;
    void compute(const Stage &stage, int64_t task);
    void load_tails(size_t next, const After &after);
    void save_tails(size_t i);
    float *input_of(size_t i) const { return room_.buffers[place_[i]].as(); }
    void move(const Tail &tail, float *buffer, int64_t stride, int64_t from, bool save);
    void input(int64_t stream);
    void finish(int64_t group);
    void edges();
    void plan_ahead();
    int64_t groups() const;
    int64_t group_size() const;

    const Kernels &k_;
    Layers layers_;
    const Quantizer *quantizer_;
    Kind kind_;
    int threads_;
    Request r_{};
    Room &room_;
    std::vector<size_t> place_;  // [convolution]: the buffer that its input is in
    std::vector<Stage> stages_;
    int64_t room_streams_ = 0, room_hops_ = 0;
    std::vector<int64_t> low_, high_;  // [convolution + 1][stream]
    std::vector<char> cut_off_;        // [convolution + 1]: some value lies outside
    double started_ = 0.0;
};

}  // namespace srvq
