// One plan's steps: a job for the threads, phase by phase, layer by layer.
//
// Knows: how a layer is cut into tasks, and which buffers it reads and writes. Does not know: Python, files, who asks.
//
// The first phase writes the input, the last one finishes (quantises, or tanh). Each phase between them computes one
// convolution, or the two of a residual unit: the second has one tap, so that it needs only rows that the first has just
// made. Three buffers take turns as input of a phase. While a phase reads one, its results go into the next, and that
// phase's history is loaded there too. Meanwhile the third's last rows are saved as the history of the phase before. A
// fourth buffer is between the two convolutions of a unit. Three more take turns for residual skips.
#pragma once
#include <vector>

#include "plan/plan.hpp"
#include "run/edges.hpp"
#include "run/request.hpp"
#include "run/threads.hpp"
#include "run/workspace.hpp"

namespace srvq {

class Step : public Job {
public:
    Step(const Kernels &k, Plan plan, int threads, Workspace &workspace);

    const Plan &plan() const { return plan_; }
    void prepare(const Request &);  // at most kMaxStreamHops; then give the job to the threads
    void done();                    // after it has run

    int phases() const override;
    int64_t begin(int phase) override;  // also takes the time of the phase before
    void run(int phase, int64_t task) override;

    // The least that the input, each convolution and the end has taken. A unit's time is in its first convolution.
    std::vector<double> seconds;
    int64_t calls = 0;

private:
    struct Stage {  // convolutions first … last, one or two, and how they are cut into tasks
        size_t first, last;
        int64_t rows, blocks;                    // rows of all streams; blocks of the first convolution's weights
        int64_t row_parts = 1, block_parts = 1;  // how many parts of the rows and of the blocks; a task is one of each
        int64_t strip;                           // rows that go through both convolutions before the task's next rows
        bool large;                              // weights are more than a core's own cache holds
        Prefetch prefetch{};                     // what its tasks fetch
        int64_t tasks() const { return row_parts * block_parts; }
    };

    struct StagePhase {
        size_t stage;
        int64_t part;      // its number among the stage's phases
        bool first, last;  // of them
    };

    // prepare.cpp
    void grow();
    bool fusible(size_t i) const;
    Stage stage_at(size_t i) const;
    void plan_prefetch();  // prefetch.cpp
    void start();

    // recurrence.cpp: an LSTM's frames
    StreamRows hidden_rows(const Convolution &c) const;
    int64_t lstm_phases(const Convolution &c) const;
    int64_t tasks_of(const Stage &stage, int64_t part) const;
    void recur(const Stage &stage, int64_t part, int64_t task);
    void add_hidden(const Convolution &layer, int64_t frame, int64_t task, int64_t tasks);
    void finish_frame(const Convolution &layer, int64_t frame, int64_t stream);
    void pass_on(size_t i, int64_t stream);

    // rows.cpp: what has no matrix
    StreamRows kept_rows(const Convolution &c) const;
    int64_t attention_phases() const;
    void rows(const Stage &stage, int64_t part, int64_t task);
    void norm(size_t i, int64_t stream) const;
    void upsample(size_t i, int64_t stream) const;
    void rotate(size_t i, int64_t stream) const;
    void attend(const Convolution &c, int64_t task) const;

    // arguments.cpp: what lies where
    StreamRows input_rows(size_t i) const;
    StreamRows skip_rows(const Skip &skip) const;
    float *input_of(size_t i) const { return workspace_.input(place_[i]); }
    char *scratch_of(int64_t task) const;
    Destinations destinations(const Epilogue &epilogue, size_t next) const;
    Conv arguments_of(size_t i) const;
    Conv shortcut_of(size_t i) const;

    // step.cpp: tasks
    void write_input(int64_t stream);
    void compute(const Stage &stage, int64_t task);
    void finish(int64_t group);
    int64_t groups() const;
    int64_t group_size() const;

    // history.cpp
    void load(const History &history, float *buffer, const StreamRows &rows) const;
    void save(const History &history, const float *buffer, const StreamRows &rows) const;
    void load_histories(size_t next, const Epilogue &epilogue) const;
    void save_histories(size_t i) const;
    void fill(size_t i) const;  // what convolution i reads beside its input
    void fill_start(const LayerSpec &l, float *fresh, int64_t length) const;
    void fill_end(const LayerSpec &l, float *fresh, int64_t end, int64_t length) const;

    const Kernels &kernels_;
    Plan plan_;
    int threads_;
    Workspace &workspace_;
    QuantizerScratch scratch_;
    Request request_{};
    EdgeTable edges_;
    std::vector<size_t> place_;  // [convolution]: its input is in workspace_.inputs[place_[i]]
    std::vector<Stage> stages_;
    std::vector<StagePhase> stage_phases_;  // [phase − 1]: LSTMs and attentions have several phases, other stages one
    int64_t most_streams_ = 0, most_hops_ = 0;  // of any step so far
    double started_ = 0.0;
};

}  // namespace srvq
